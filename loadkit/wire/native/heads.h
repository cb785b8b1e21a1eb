/* Heads that mean the same though they differ, as in their dates: see `wire/head_pattern.py`. */
#ifndef LOADKIT_HEADS_H
#define LOADKIT_HEADS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a pattern: any text, and how many bytes the body has. */
enum { TEXT = 1, LENGTH = 2 };
/* A longer length is no 64-bit integer, and none to Python. */
#define DIGITS 18

static inline int is_text(unsigned char byte)
{
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

/* How many bytes the head of a whole reply has that fits a pattern; 0 for any other reply. */
static inline size_t match_head(const char *pattern, size_t size, const char *data, size_t came)
{
    size_t at = 0;
    uint64_t length = 0;

    for (size_t k = 0; k < size; k++) {
        size_t from = at;
        if (pattern[k] == TEXT) {
            while (at < came && is_text((unsigned char)data[at]))
                at++;
        } else if (pattern[k] == LENGTH) {
            for (; at < came && at - from < DIGITS && data[at] >= '0' && data[at] <= '9'; at++)
                length = 10 * length + (uint64_t)(data[at] - '0');
            if (at == from)
                return 0;
        } else if (at == came || data[at++] != pattern[k]) {
            return 0;
        }
    }
    return came - at == length ? at : 0;
}

#endif
