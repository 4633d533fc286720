/* == pool_shape == */
typedef struct {
    int channels, rows, columns, out_rows, out_columns;
    int kernel_rows, kernel_columns, stride_rows, stride_columns, pad_rows, pad_columns;
} pool_shape;

/* The part of a window that lies within the map; the last row and column are behind it. */
typedef struct {
    int first_row, last_row, first_column, last_column;
} pool_window;

static pool_window window_at(const pool_shape *s, int row, int column)
{
    pool_window w;
    w.first_row = row * s->stride_rows - s->pad_rows;
    w.last_row = w.first_row + s->kernel_rows;
    w.first_column = column * s->stride_columns - s->pad_columns;
    w.last_column = w.first_column + s->kernel_columns;
    if (w.first_row < 0)
        w.first_row = 0;
    if (w.last_row > s->rows)
        w.last_row = s->rows;
    if (w.first_column < 0)
        w.first_column = 0;
    if (w.last_column > s->columns)
        w.last_column = s->columns;
    return w;
}
