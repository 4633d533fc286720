/* == quantise == */
/* Nearest int8 of a real value, halves to even. */
static int8_t quantise(float value, int zero)
{
    long rounded = lrintf(value) + zero;
    if (rounded < -128)
        return -128;
    return (int8_t)(rounded > 127 ? 127 : rounded);
}
/* == Conv == */
typedef struct {
    int channels, rows, columns;
    int filters, out_rows, out_columns;
    int kernel_rows, kernel_columns, stride_rows, stride_columns, pad_rows, pad_columns;
    int dilation_rows, dilation_columns, groups;
    int in_zero, out_zero;
} conv_shape;

/* Add w times a row of the input to a row of sums; compilers turn the loop of stride 1 into vector instructions. */
static void add_scaled(int32_t *sums, const int8_t *in, int w, int zero, int first, int last, int stride, int shift)
{
    int column;
    if (stride == 1)
        for (column = first; column < last; column++)
            sums[column] += w * (in[column + shift] - zero);
    else
        for (column = first; column < last; column++)
            sums[column] += w * (in[column * stride + shift] - zero);
}

/* Convolution: int8 times int8, sums in int32, one row of the output at a time; `scale` per filter gives int8 again. */
static void conv(const conv_shape *s, const int8_t *x, const int8_t *weights, const int32_t *bias, const float *scale,
                 int8_t *y)
{
    static int32_t sums[MOST_COLUMNS];
    int filter, channel, i, j, row, column;
    int channels = s->channels / s->groups;
    for (filter = 0; filter < s->filters; filter++) {
        const int8_t *group = x + (long)(filter / (s->filters / s->groups)) * channels * s->rows * s->columns;
        const int8_t *own = weights + (long)filter * channels * s->kernel_rows * s->kernel_columns;
        for (row = 0; row < s->out_rows; row++) {
            const int8_t *weight = own;
            for (column = 0; column < s->out_columns; column++)
                sums[column] = bias[filter];
            for (channel = 0; channel < channels; channel++) {
                for (i = 0; i < s->kernel_rows; i++) {
                    int in_row = row * s->stride_rows + i * s->dilation_rows - s->pad_rows;
                    const int8_t *in;
                    if (in_row < 0 || in_row >= s->rows) {
                        weight += s->kernel_columns;
                        continue;
                    }
                    in = group + ((long)channel * s->rows + in_row) * s->columns;
                    for (j = 0; j < s->kernel_columns; j++) {
                        int w = *weight++;
                        int shift = j * s->dilation_columns - s->pad_columns;
                        int first = shift < 0 ? (-shift + s->stride_columns - 1) / s->stride_columns : 0;
                        int last = s->columns - 1 - shift;
                        last = last < 0 ? 0 : last / s->stride_columns + 1;
                        if (last > s->out_columns)
                            last = s->out_columns;
                        add_scaled(sums, in, w, s->in_zero, first, last, s->stride_columns, shift);
                    }
                }
            }
            for (column = 0; column < s->out_columns; column++)
                *y++ = quantise((float)sums[column] * scale[filter], s->out_zero);
        }
    }
}
/* == clip == */
/* Values between two bounds; `scale` and the bounds are shares of the scale of the result. */
static void clip(const int8_t *x, int8_t *y, long count, int in_zero, float scale, float low, float high, int zero)
{
    long i;
    for (i = 0; i < count; i++) {
        float value = (float)(x[i] - in_zero) * scale;
        value = value > low ? value : low;
        y[i] = quantise(value < high ? value : high, zero);
    }
}
/* == BatchNormalization == */
/* Scale and shift per channel, both shares of the scale of the result. */
static void scale_and_shift(const int8_t *x, int in_zero, const float *scale, const float *shift, int8_t *y, int zero,
                            int channels, long plane)
{
    int channel;
    long i;
    for (channel = 0; channel < channels; channel++)
        for (i = channel * plane; i < (channel + 1) * plane; i++)
            y[i] = quantise((float)(x[i] - in_zero) * scale[channel] + shift[channel], zero);
}
/* == Add == */
/* Sum of two activations whose scales are shares of that of the result. */
static void add(const int8_t *a, int a_zero, float a_scale, const int8_t *b, int b_zero, float b_scale, int8_t *y,
                int zero, long count)
{
    long i;
    for (i = 0; i < count; i++)
        y[i] = quantise((float)(a[i] - a_zero) * a_scale + (float)(b[i] - b_zero) * b_scale, zero);
}
/* == MaxPool == */
static void max_pool(const pool_shape *s, const int8_t *x, int8_t *y)
{
    int channel, row, column, r, c;
    for (channel = 0; channel < s->channels; channel++) {
        const int8_t *plane = x + (long)channel * s->rows * s->columns;
        for (row = 0; row < s->out_rows; row++) {
            for (column = 0; column < s->out_columns; column++) {
                pool_window w = window_at(s, row, column);
                int8_t best = -128;
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
static void average_pool(const pool_shape *s, int counts_padding, const int8_t *x, int zero, int8_t *y)
{
    int channel, row, column, r, c;
    for (channel = 0; channel < s->channels; channel++) {
        const int8_t *plane = x + (long)channel * s->rows * s->columns;
        for (row = 0; row < s->out_rows; row++) {
            for (column = 0; column < s->out_columns; column++) {
                pool_window w = window_at(s, row, column);
                int32_t total = 0;
                int count = (w.last_row - w.first_row) * (w.last_column - w.first_column);
                for (r = w.first_row; r < w.last_row; r++)
                    for (c = w.first_column; c < w.last_column; c++)
                        total += plane[r * s->columns + c] - zero;
                if (counts_padding)
                    count = s->kernel_rows * s->kernel_columns;
                *y++ = quantise((float)total / (float)count, zero);
            }
        }
    }
}
/* == Pad == */
static void pad_channels(const int8_t *x, int8_t *y, long before, long count, long after, int zero)
{
    memset(y, zero, (size_t)before);
    memcpy(y + before, x, (size_t)count);
    memset(y + before + count, zero, (size_t)after);
}
/* == ReduceMean == */
/* Mean of every plane; `scale` turns it into a real value. */
static void mean_of_planes(const int8_t *x, float *y, int channels, long plane, int zero, float scale)
{
    int channel;
    long i;
    for (channel = 0; channel < channels; channel++) {
        int32_t total = 0;
        for (i = 0; i < plane; i++)
            total += *x++ - zero;
        y[channel] = (float)total * scale / (float)plane;
    }
}
/* == quantise_values == */
static void quantise_values(const float *x, int8_t *y, int count, float scale, int zero)
{
    int i;
    for (i = 0; i < count; i++)
        y[i] = quantise(x[i] / scale, zero);
}
/* == dequantise_values == */
static void dequantise_values(const int8_t *x, float *y, int count, float scale, int zero)
{
    int i;
    for (i = 0; i < count; i++)
        y[i] = (float)(x[i] - zero) * scale;
}
/* == Gemm == */
static void dense(const int8_t *x, int zero, const int8_t *weight, const int32_t *bias, const float *scale, float *y,
                  int inputs, int outputs)
{
    int i, j;
    for (i = 0; i < outputs; i++) {
        int32_t total = bias[i];
        for (j = 0; j < inputs; j++)
            total += *weight++ * (x[j] - zero);
        y[i] = (float)total * scale[i];
    }
}
