/* Dropout by Philox-4x32-10, the function of training/dropout.py. Part of micro_body.h. */

enum { COUNTERS = 16, DRAWS = 4 * COUNTERS };

/* Numbers 64 block .. 64 block + 63 of a row: word w of counter 16 block + i is number 16 w + i. */
INLINE void draw(uint64_t seed, uint64_t row, int64_t block, uint32_t to[4][COUNTERS])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < COUNTERS; i++) {
        to[0][i] = (uint32_t)(block * COUNTERS + i);
        to[1][i] = (uint32_t)row;
        to[2][i] = (uint32_t)(row >> 32);
        to[3][i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < COUNTERS; i++) {
            const uint64_t first = (uint64_t)0xd2511f53u * to[0][i];
            const uint64_t second = (uint64_t)0xcd9e8d57u * to[2][i];
            to[0][i] = (uint32_t)(second >> 32) ^ to[1][i] ^ key0;
            to[1][i] = (uint32_t)second;
            to[2][i] = (uint32_t)(first >> 32) ^ to[3][i] ^ key1;
            to[3][i] = (uint32_t)first;
        }
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

static void drop(int64_t n, uint64_t seed, uint64_t row, uint32_t least, float scale, const float *x,
                 float *y)
{
    uint32_t draws[4][COUNTERS];
    float part[DRAWS] = {0.0f};
    for (int64_t at = 0; at < n; at += DRAWS) {
        const size_t bytes = (size_t)(n - at < DRAWS ? n - at : DRAWS) * sizeof(float);
        draw(seed, row, at / DRAWS, draws);
        memcpy(part, x + at, bytes);
        for (int j = 0; j < DRAWS; j++) {
            const float kept = part[j] * scale;
            part[j] = draws[j / COUNTERS][j % COUNTERS] >= least ? kept : 0.0f;
        }
        memcpy(y + at, part, bytes);
    }
}
