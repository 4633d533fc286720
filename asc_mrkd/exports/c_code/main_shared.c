static int fail(const char *path, const char *reason)
{
    fprintf(stderr, "error: %s: %s\n", path, reason);
    return 2;
}

static void add_probabilities(const float *logits, double *probabilities)
{
    double powers[MODEL_CLASSES];
    double largest = (double)logits[0];
    double total = 0.0;
    int i;
    for (i = 1; i < MODEL_CLASSES; i++)
        if ((double)logits[i] > largest)
            largest = (double)logits[i];
    for (i = 0; i < MODEL_CLASSES; i++) {
        powers[i] = exp((double)logits[i] - largest);
        total += powers[i];
    }
    for (i = 0; i < MODEL_CLASSES; i++)
        probabilities[i] += powers[i] / total;
}

static void print_classes(const char *path, double *probabilities, long clips)
{
    int shown, i;
    printf("%s", path);
    for (shown = 0; shown < 3 && shown < MODEL_CLASSES; shown++) {
        int best = 0;
        for (i = 1; i < MODEL_CLASSES; i++)
            if (probabilities[i] > probabilities[best])
                best = i;
        printf("  %s %.3f", model_classes[best], probabilities[best] / (double)clips);
        probabilities[best] = -1.0;
    }
    printf("\n");
}
