/* == Conv == */
typedef struct {
    int channels, rows, columns;
    int filters, out_rows, out_columns;
    int kernel_rows, kernel_columns, stride_rows, stride_columns, pad_rows, pad_columns;
    int dilation_rows, dilation_columns, groups;
} conv_shape;

/* Add w times a row of the input to a row of the output; compilers turn the loop of stride 1 into vector instructions. */
static void add_scaled(float *out, const float *in, float w, int first, int last, int stride, int shift)
{
    int column;
    if (stride == 1)
        for (column = first; column < last; column++)
            out[column] += w * in[column + shift];
    else
        for (column = first; column < last; column++)
            out[column] += w * in[column * stride + shift];
}

/* Convolution with bias; every weight is added to all positions of the output. */
static void conv(const conv_shape *s, const float *x, const float *weight, const float *bias, float *y)
{
    int filter, channel, i, j, row;
    int channels = s->channels / s->groups;
    for (filter = 0; filter < s->filters; filter++) {
        float *plane = y + (long)filter * s->out_rows * s->out_columns;
        const float *group = x + (long)(filter / (s->filters / s->groups)) * channels * s->rows * s->columns;
        for (i = 0; i < s->out_rows * s->out_columns; i++)
            plane[i] = bias[filter];
        for (channel = 0; channel < channels; channel++) {
            const float *source = group + (long)channel * s->rows * s->columns;
            for (i = 0; i < s->kernel_rows; i++) {
                for (j = 0; j < s->kernel_columns; j++) {
                    float w = *weight++;
                    int shift = j * s->dilation_columns - s->pad_columns;
                    int first = shift < 0 ? (-shift + s->stride_columns - 1) / s->stride_columns : 0;
                    int last = s->columns - 1 - shift;
                    last = last < 0 ? 0 : last / s->stride_columns + 1;
                    if (last > s->out_columns)
                        last = s->out_columns;
                    for (row = 0; row < s->out_rows; row++) {
                        int in_row = row * s->stride_rows + i * s->dilation_rows - s->pad_rows;
                        if (in_row < 0 || in_row >= s->rows)
                            continue;
                        add_scaled(plane + (long)row * s->out_columns, source + (long)in_row * s->columns, w, first, last,
                                   s->stride_columns, shift);
                    }
                }
            }
        }
    }
}
/* == Relu == */
static void relu(const float *x, float *y, long count)
{
    long i;
    for (i = 0; i < count; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
/* == Clip == */
static void clip(const float *x, float *y, long count, float low, float high)
{
    long i;
    for (i = 0; i < count; i++) {
        float value = x[i] > low ? x[i] : low;
        y[i] = value < high ? value : high;
    }
}
/* == Add == */
static void add(const float *a, const float *b, float *y, long count)
{
    long i;
    for (i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}
/* == BatchNormalization == */
static void scale_and_shift(const float *x, const float *scale, const float *shift, float *y, int channels, long plane)
{
    int channel;
    long i;
    for (channel = 0; channel < channels; channel++)
        for (i = channel * plane; i < (channel + 1) * plane; i++)
            y[i] = x[i] * scale[channel] + shift[channel];
}
/* == MaxPool == */
static void max_pool(const pool_shape *s, const float *x, float *y)
{
    int channel, row, column, r, c;
    for (channel = 0; channel < s->channels; channel++) {
        const float *plane = x + (long)channel * s->rows * s->columns;
        for (row = 0; row < s->out_rows; row++) {
            for (column = 0; column < s->out_columns; column++) {
                pool_window w = window_at(s, row, column);
                float best = plane[w.first_row * s->columns + w.first_column];
                for (r = w.first_row; r < w.last_row; r++)
                    for (c = w.first_column; c < w.last_column; c++)
                        if (plane[r * s->columns + c] > best)
                            best = plane[r * s->columns + c];
                *y++ = best;
            }
        }
    }
}
/* == AveragePool == */
/* Average over a window. Padding counts as zeros if counts_padding is set, otherwise it is left out. */
static void average_pool(const pool_shape *s, int counts_padding, const float *x, float *y)
{
    int channel, row, column, r, c;
    for (channel = 0; channel < s->channels; channel++) {
        const float *plane = x + (long)channel * s->rows * s->columns;
        for (row = 0; row < s->out_rows; row++) {
            for (column = 0; column < s->out_columns; column++) {
                pool_window w = window_at(s, row, column);
                float total = 0.0f;
                int count = (w.last_row - w.first_row) * (w.last_column - w.first_column);
                for (r = w.first_row; r < w.last_row; r++)
                    for (c = w.first_column; c < w.last_column; c++)
                        total += plane[r * s->columns + c];
                if (counts_padding)
                    count = s->kernel_rows * s->kernel_columns;
                *y++ = total / (float)count;
            }
        }
    }
}
/* == Pad == */
static void pad_channels(const float *x, float *y, long before, long count, long after)
{
    memset(y, 0, sizeof(float) * (size_t)before);
    memcpy(y + before, x, sizeof(float) * (size_t)count);
    memset(y + before + count, 0, sizeof(float) * (size_t)after);
}
/* == ReduceMean == */
static void mean_of_planes(const float *x, float *y, int channels, long plane)
{
    int channel;
    long i;
    for (channel = 0; channel < channels; channel++) {
        float total = 0.0f;
        for (i = 0; i < plane; i++)
            total += *x++;
        y[channel] = total / (float)plane;
    }
}
/* == Gemm == */
static void dense(const float *x, const float *weight, const float *bias, float *y, int inputs, int outputs)
{
    int i, j;
    for (i = 0; i < outputs; i++) {
        y[i] = bias[i];
        for (j = 0; j < inputs; j++)
            y[i] += *weight++ * x[j];
    }
}
