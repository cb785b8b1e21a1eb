/* The exchange loop, without Python: see `ExchangeLoop` in `wire/exchange_loop.py` for what it promises.
 *
 * A thread of its own, which knows nothing of the interpreter, waits for the connections and does the exchanges. All
 * that it shares with its callers is behind one lock, which it has but for the time in which it waits.
 */
#ifndef LOADKIT_LOOP_H
#define LOADKIT_LOOP_H

#include <stddef.h>
#include <stdint.h>

typedef struct loop Loop;

enum what { UNUSUAL = 0, READABLE = 1, OVER = 2, REPLIED = 3, SHORT = 4, UNSUPPLIED = 5 };

/* A user that is handed out, -1 for none; `data` is malloc'ed, NULL if nothing was received. */
typedef struct {
    enum what what;
    int user;
    int request;
    int error;
    int64_t due, sent, went, stamp, taken, payload;
    char *data;
    size_t size;
} Event;

typedef struct {
    int64_t due, sent, arrived, taken, status, size;
} Sample;

typedef struct {
    int request;
    int connection;
} Turn;

/* What is sent, malloc'ed; one that was supplied has a number from 0 on, and is sent once. */
typedef struct payload {
    struct payload *next;
    int64_t number;
    size_t size;
    char bytes[];
} Payload;

typedef struct {
    int place; /* in the turns of whoever sends it */
    int64_t due;
} Arrival;

/* NULL if there is no memory. */
Payload *payload_of(const char *bytes, size_t size);
void free_payloads(Payload *payload);

/* NULL with errno if it cannot be had. */
Loop *loop_open(void);
/* False in a child of a fork, which does not have its thread: nothing may be called there. */
int loop_is_of_this_process(const Loop *loop);
/* Ends its thread. */
void loop_close(Loop *loop);

/* What follows is called between these. */
void loop_enter(Loop *loop);
void loop_leave(Loop *loop);

/* These return -1 where there is no memory, or nothing of the number that is given. */
/* Takes the payload, which is NULL where each exchange has one that is supplied. */
int loop_add_request(Loop *loop, Payload *payload, int64_t timeout, int is_repeatable);
/* Takes payloads for the next exchanges of a request; how many are ready now. */
int loop_supply(Loop *loop, int request, Payload *payloads);
int loop_learn(Loop *loop, int request, const char *head, size_t head_size, int64_t size, int64_t status,
               const char *pattern, size_t pattern_size);
int loop_add_user(Loop *loop, const Turn *turns, int count);
int loop_connect(Loop *loop, int user, int connection, int fd);
int loop_resume(Loop *loop, int user, int64_t due, int64_t until, int64_t left);
/* Takes `pauses`, which are malloc'ed; they are NULL where there are none but perhaps a pacing. */
int loop_pace(Loop *loop, int user, int64_t *pauses, size_t count, int64_t pacing);
/* The next pause; -1 if there is none. */
int64_t loop_take_pause(Loop *loop, int user);
int loop_watch(Loop *loop, int user, int connection, int64_t deadline);
int loop_user(const Loop *loop, int user, int64_t *left, int64_t *first_sent, int64_t *last_taken);
int loop_forget_spell(Loop *loop, int user);

int loop_serve(Loop *loop, int user);
int loop_offer(Loop *loop, const Arrival *arrivals, size_t count);
void loop_finish(Loop *loop);
size_t loop_offered(const Loop *loop);
size_t loop_withdraw(Loop *loop);
void loop_rotate(Loop *loop, int count);
void loop_ask_for_more(Loop *loop);

int loop_requests(const Loop *loop);
void loop_set_wall_offset(Loop *loop, int64_t offset);

/* Wait, with the lock left meanwhile, until there are events, many samples, or it is woken; at most until an instant. */
int loop_is_due(const Loop *loop);
void loop_wait(Loop *loop, int64_t until);
/* The events since the last time, for the caller to free with what they hold; their number. */
int loop_take_events(Loop *loop, Event **events);
/* The samples of a request since the last time, which stay until the next call for it. */
size_t loop_take_samples(Loop *loop, int request, const Sample **samples);
/* The numbers of the payloads of those samples; 0 where they were not supplied. */
size_t loop_payloads(Loop *loop, int request, const int64_t **numbers);
void loop_stop(Loop *loop, int64_t instant);
void loop_wake(Loop *loop);

/* For any thread, without the lock: the director asks these of thousands of users, ten times a second. */
int loop_is_resting(const Loop *loop, int user);
int loop_resting(const Loop *loop);

#endif
