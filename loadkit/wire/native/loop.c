#define _GNU_SOURCE
#include "loop.h"
#include "heads.h"
#include "sockets.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Heads of good replies that are known of each request; those of one server differ in their dates. */
#define HEADS 16
/* Descriptors that one wait may bring. */
#define READY 64
/* How often a second, and in the span of the shortest timeout, it is looked for exchanges that take too long. */
#define LOOKS 20
/* Samples behind which whoever waits is told, who counts them while they are in the caches of the CPU. */
#define MANY 4096
/* How much later than the taking a reply may seem to arrive, for the two clocks are read one after the other. */
#define JITTER 20000
/* How long after the stop a request may still be sent that was due before it and had a user to itself. */
#define LATEST (50 * MILLISECOND)
/* The kernel ends a wait up to a thousandth of its length late, or a two-hundredth if the process is nice, to wake up
 * less often: a longer one than this is ended before it, and then the rest is waited for. */
#define COARSE (4 * MILLISECOND)
#define NEVER (1LL << 62)
/* Users of a block, and blocks: a million users. */
#define BLOCK 1024
#define BLOCKS 1024
#define STACK (128 * 1024)
/* How often the thread lets others run who want the lock, at most; they need one of these, or are held up themselves. */
#define YIELDS 1000

enum state {
    OUT,     /* the caller has it */
    HANDED,  /* its event, of which there is room for one, is still to be taken */
    RESTING, /* until its request is due, or an arrival */
    SENT,    /* its reply is awaited */
    WATCHED  /* the caller wants to know when something has come */
};

typedef struct {
    char *bytes;
    size_t length;
    int64_t size, status;
    char *pattern; /* of those that mean the same */
    size_t pattern_size;
} Head;

typedef struct {
    Payload *payload; /* that of each exchange, or the next one of those that are ready */
    Payload **end;    /* where another one is put that is supplied */
    int is_supplied;
    int ready, few;   /* so many payloads, and how few are told */
    int64_t supplied; /* payloads so far */
    int64_t *numbers, *spare_numbers; /* of the payloads of samples, where they were supplied */
    size_t spare_count;
    int64_t timeout;
    int is_repeatable;
    Head heads[HEADS];
    int head_count;
    int oldest; /* the next to be replaced */
    int last;   /* that of the last reply */
    Sample *samples, *spare;
    size_t count, room, spare_room;
} Request;

typedef struct user User;

typedef struct {
    User *user;
    int fd;
    int is_polled; /* epoll looks at it */
    int is_usable; /* it is open, and nothing has come that nobody asked for */
} Connection;

struct user {
    int number;
    _Atomic(enum state) state; /* also read without the lock */
    int turn_count, connection_count;
    int position; /* of the last request in its turns */
    Turn *turns;
    Connection *connections;
    Connection *awaited; /* where a reply, or what is watched for, is to come */
    int request;         /* the one under way */
    Payload *payload;    /* and its payload, NULL if none is under way */
    int64_t due, until, left, sent, deadline;
    int64_t first_sent, last_taken;
    int serves;      /* arrivals */
    int64_t pacing;  /* from one due instant to the next; 0 for none */
    int64_t *pauses; /* behind replies; NULL if it makes none */
    size_t pause_count, pauses_made;
};

struct loop {
    pthread_mutex_t lock;
    pthread_cond_t has_news;
    pthread_t thread;
    pid_t process;
    atomic_int wanted; /* by so many threads is the lock waited for */
    int epoll, waker;
    int is_closing, is_woken, has_pwait2;
    int64_t wall_offset, stop_at;
    int64_t look_at, look_each;
    Request **requests;
    int request_count;
    User **blocks[BLOCKS]; /* the users, so many each; a block does not move, for it is read without the lock, too */
    atomic_int user_count;
    int user_room;
    Connection **owners; /* by descriptor: whose it is */
    int owner_count;
    User **timers; /* a heap of those that rest, the first to go on first; room for all users */
    atomic_int timer_count;
    User **idle; /* a ring of those that wait for arrivals, the next one first; room for all users */
    int first_idle;
    atomic_int idle_count;
    int in_turn; /* so many of them take arrivals in turn */
    Arrival *arrivals; /* those that are not begun are from the first one on */
    size_t first_arrival, arrival_count, arrival_room;
    int is_last; /* nothing is offered behind these */
    int is_tight;           /* the last one that was begun left no user idle */
    int is_asked, is_short; /* it is to be said when nobody is idle for the next; it is so, and not said yet */
    Event *events; /* room for all users, and one more */
    int event_count;
    size_t sample_count;
    char buffer[BUFFER];
};

static User *user_of(const Loop *loop, int number)
{
    return number >= 0 && number < loop->user_count ? loop->blocks[number / BLOCK][number % BLOCK] : NULL;
}

/* ---- users that are handed out ---- */

static Event *hand_out(Loop *loop, User *user, enum what what)
{
    Event *event = &loop->events[loop->event_count++];

    user->state = HANDED;
    memset(event, 0, sizeof *event);
    event->what = what;
    event->user = user->number;
    event->request = -1;
    event->payload = -1;
    return event;
}

/* ---- payloads ---- */

Payload *payload_of(const char *bytes, size_t size)
{
    Payload *payload = malloc(sizeof *payload + size);

    if (payload) {
        *payload = (Payload){.number = -1, .size = size};
        memcpy(payload->bytes, bytes, size);
    }
    return payload;
}

void free_payloads(Payload *payload)
{
    for (Payload *next; payload; payload = next) {
        next = payload->next;
        free(payload);
    }
}

/* Take the payload for an exchange; false if there is none. */
static int take_payload(Loop *loop, Request *request, User *user)
{
    Payload *payload = user->payload = request->payload;

    if (!payload || !request->is_supplied)
        return payload != NULL;
    request->payload = payload->next;
    payload->next = NULL;
    if (!request->payload)
        request->end = &request->payload;
    if (--request->ready == request->few)
        loop->is_woken = 1;
    return 1;
}

static void leave_payload(User *user)
{
    if (user->payload && user->payload->number >= 0)
        free(user->payload);
    user->payload = NULL;
}

/* ---- exchanges that are handed out ---- */

/* Hand out an exchange that is not ordinary, as far as it went. */
static Event *hand_out_exchange(Loop *loop, User *user, int64_t went, int error)
{
    Event *event = hand_out(loop, user, UNUSUAL);

    event->request = user->request;
    event->due = user->due;
    event->sent = user->sent;
    event->went = went;
    event->error = error;
    event->payload = user->payload->number;
    leave_payload(user);
    return event;
}

static void hand_out_reply(Loop *loop, User *user, ssize_t came, int64_t stamp, int64_t taken)
{
    Event *event = hand_out_exchange(loop, user, (int64_t)user->payload->size, 0);

    event->data = malloc(came ? (size_t)came : 1);
    if (!event->data) {
        event->error = ENOMEM;
        return;
    }
    memcpy(event->data, loop->buffer, (size_t)came);
    event->size = (size_t)came;
    event->stamp = stamp;
    event->taken = taken;
}

/* ---- the timers: a binary heap ---- */

static int64_t wakes_at(const User *user)
{
    return user->due < user->until ? user->due : user->until;
}

static void sift_up(Loop *loop, int place)
{
    User *user = loop->timers[place];

    for (int above; place > 0; place = above) {
        above = (place - 1) / 2;
        if (wakes_at(loop->timers[above]) <= wakes_at(user))
            break;
        loop->timers[place] = loop->timers[above];
    }
    loop->timers[place] = user;
}

static void sift_down(Loop *loop, int place)
{
    User *user = loop->timers[place];

    for (int below = 2 * place + 1; below < loop->timer_count; below = 2 * place + 1) {
        if (below + 1 < loop->timer_count && wakes_at(loop->timers[below + 1]) < wakes_at(loop->timers[below]))
            below++;
        if (wakes_at(user) <= wakes_at(loop->timers[below]))
            break;
        loop->timers[place] = loop->timers[below];
        place = below;
    }
    loop->timers[place] = user;
}

static void rest(Loop *loop, User *user)
{
    user->state = RESTING;
    loop->timers[loop->timer_count] = user;
    sift_up(loop, loop->timer_count++);
}

static User *pop_timer(Loop *loop)
{
    User *first = loop->timers[0];

    loop->timers[0] = loop->timers[--loop->timer_count];
    if (loop->timer_count)
        sift_down(loop, 0);
    return first;
}

/* ---- what epoll looks at ---- */

static int has_descriptor(const Loop *loop, const Connection *connection)
{
    return connection->fd >= 0 && loop->owners[connection->fd] == connection;
}

static void begin_polling(Loop *loop, Connection *connection)
{
    struct epoll_event asked = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = connection->fd};

    if (connection->is_polled || !has_descriptor(loop, connection))
        return;
    connection->is_polled = epoll_ctl(loop->epoll, EPOLL_CTL_ADD, connection->fd, &asked) == 0 || errno == EEXIST;
}

static void end_polling(Loop *loop, Connection *connection)
{
    /* the number of a descriptor that was closed may be another connection's by now */
    if (connection->is_polled && has_descriptor(loop, connection))
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    connection->is_polled = 0;
}

/* ---- the exchange ---- */

static void advance(Loop *loop, User *user);

/* Send the next request of a user's turn, or hand it out. */
static void send_next(Loop *loop, User *user, int64_t instant)
{
    int position = (user->position + 1) % user->turn_count;
    Request *request = loop->requests[user->turns[position].request];
    Connection *connection = &user->connections[user->turns[position].connection];

    if (!take_payload(loop, request, user)) {
        Event *event = hand_out(loop, user, UNSUPPLIED);
        event->request = user->turns[position].request;
        event->due = user->due;
        return;
    }
    user->left--;
    user->position = position;
    user->request = user->turns[position].request;
    user->sent = 0;

    if (!connection->is_usable || (!request->is_repeatable && has_something(connection->fd))) {
        hand_out_exchange(loop, user, 0, 0);
        return;
    }
    if (instant - user->last_taken > COOLED)
        warm_up(connection->fd);
    user->sent = now();
    ssize_t went = send_at_once(connection->fd, user->payload->bytes, user->payload->size);
    if (went != (ssize_t)user->payload->size) {
        /* that nothing is taken at once is for the caller to wait for */
        hand_out_exchange(loop, user, went < 0 ? 0 : went, went < 0 && errno != EAGAIN ? errno : 0);
        return;
    }
    user->state = SENT;
    user->awaited = connection;
    user->deadline = user->sent + request->timeout;
    begin_polling(loop, connection);
}

/* ---- arrivals, and users that wait for them ---- */

static const Arrival *next_arrival(const Loop *loop)
{
    return loop->arrival_count ? &loop->arrivals[loop->first_arrival] : NULL;
}

static int is_used_up(const Loop *loop)
{
    return loop->is_last && !loop->arrival_count;
}

static void be_idle(Loop *loop, User *user)
{
    int count = loop->idle_count++;

    loop->is_tight = 0;
    user->state = RESTING;
    if (count < loop->in_turn) {
        loop->idle[(loop->first_idle + count) % loop->user_room] = user;
        return;
    }
    loop->first_idle = (loop->first_idle + loop->user_room - 1) % loop->user_room;
    loop->idle[loop->first_idle] = user;
}

static User *pop_idle(Loop *loop)
{
    User *user = loop->idle[loop->first_idle];

    loop->first_idle = (loop->first_idle + 1) % loop->user_room;
    loop->idle_count--;
    return user;
}

static void begin_arrival(Loop *loop, User *user, int64_t instant)
{
    Arrival arrival = loop->arrivals[loop->first_arrival++];

    loop->arrival_count--;
    loop->is_tight = !loop->idle_count;
    user->due = arrival.due;
    /* its place is the next one of the turn */
    user->position = arrival.place % user->turn_count - 1;
    send_next(loop, user, instant);
}

/* Go on with a user that serves: send what is due, wait for it, or end. */
static void serve_on(Loop *loop, User *user, int64_t instant)
{
    const Arrival *next = next_arrival(loop);

    if (instant >= loop->stop_at || is_used_up(loop))
        hand_out(loop, user, OVER);
    else if (next && next->due <= instant)
        begin_arrival(loop, user, instant);
    else
        be_idle(loop, user);
}

/* Go on with a user: send, rest until it is time, or end. */
static void advance(Loop *loop, User *user)
{
    int64_t instant = now();

    if (user->serves)
        serve_on(loop, user, instant);
    else if (instant >= user->until || instant >= loop->stop_at)
        hand_out(loop, user, OVER);
    else if (user->due > instant)
        rest(loop, user);
    else if (user->left <= 0)
        hand_out(loop, user, OVER);
    else
        send_next(loop, user, instant);
}

static const Head *find_head(Request *request, const char *data, ssize_t came)
{
    for (int k = 0; k < request->head_count; k++) {
        int place = (request->last + k) % request->head_count;
        const Head *head = &request->heads[place];
        if (came == head->size && memcmp(data, head->bytes, head->length) == 0) {
            request->last = place;
            return head;
        }
    }
    for (int k = 0; k < request->head_count; k++) {
        Head *head = &request->heads[k];
        size_t length = match_head(head->pattern, head->pattern_size, data, (size_t)came);
        char *bytes = length ? realloc(head->bytes, length) : NULL;
        if (bytes) {
            memcpy(bytes, data, length);
            head->bytes = bytes;
            head->length = length;
            head->size = came;
            request->last = k;
            return head;
        }
    }
    return NULL;
}

static int make_room_for_samples(Request *request)
{
    size_t room = request->room ? 2 * request->room : 256;
    Sample *samples = realloc(request->samples, room * sizeof *samples);

    if (samples)
        request->samples = samples;
    if (samples && request->is_supplied) {
        int64_t *numbers = realloc(request->numbers, room * sizeof *numbers);
        if (!numbers)
            return 0;
        request->numbers = numbers;
    }
    if (samples)
        request->room = room;
    return samples != NULL;
}

/* Write a sample; false if there is no memory for it. */
static int keep_sample(Loop *loop, Request *request, Sample sample, int64_t payload)
{
    if (request->count == request->room && !make_room_for_samples(request))
        return 0;
    if (request->is_supplied)
        request->numbers[request->count] = payload;
    request->samples[request->count++] = sample;
    if (++loop->sample_count % MANY == 0)
        loop->is_woken = 1;
    return 1;
}

/* When the next request is due, after the reply that was taken at an instant. */
static int64_t next_due(User *user, int64_t taken)
{
    if (user->pauses)
        return taken + user->pauses[user->pauses_made++];
    return user->due + user->pacing > taken && user->pacing ? user->due + user->pacing : taken;
}

static void take_reply(Loop *loop, User *user)
{
    Request *request = loop->requests[user->request];
    int64_t stamp;
    ssize_t came = receive(user->awaited->fd, loop->buffer, MSG_DONTWAIT, &stamp);
    int error = errno;
    int64_t taken = now(), arrived = stamp - loop->wall_offset;

    if (came < 0) {
        /* that there is nothing to receive is an event of a descriptor that was closed meanwhile */
        if (error != EAGAIN && error != EINTR)
            hand_out_exchange(loop, user, (int64_t)user->payload->size, error);
        return;
    }
    user->last_taken = taken;
    if (taken < arrived && arrived <= taken + JITTER)
        arrived = taken;
    const Head *head = stamp && user->sent <= arrived && arrived <= taken ? find_head(request, loop->buffer, came) : NULL;
    if (!head ||
        !keep_sample(loop, request, (Sample){user->due, user->sent, arrived, taken, head->status, head->size},
                     user->payload->number)) {
        hand_out_reply(loop, user, came, stamp, taken);
        return;
    }
    leave_payload(user);
    if (!user->first_sent)
        user->first_sent = user->sent;
    if (!user->pauses || user->pauses_made < user->pause_count) {
        user->due = next_due(user, taken);
        advance(loop, user);
        return;
    }
    Event *event = hand_out(loop, user, REPLIED);
    event->request = user->request;
    event->due = user->due;
    event->taken = taken;
}

/* ---- the thread ---- */

static void be_ready(Loop *loop, int fd)
{
    uint64_t count;
    Connection *connection = fd < loop->owner_count ? loop->owners[fd] : NULL;

    if (fd == loop->waker) {
        (void)!read(fd, &count, sizeof count);
        return;
    }
    if (!connection)
        return;
    User *user = connection->user;
    int is_awaited = user->awaited == connection;
    if (user->state == SENT && is_awaited) {
        take_reply(loop, user);
        return;
    }
    /* something has come that nobody asked for, or that is for the caller to receive */
    end_polling(loop, connection);
    if (user->state == WATCHED && is_awaited)
        hand_out(loop, user, READABLE);
    else
        connection->is_usable = 0;
}

static void let_others_in(Loop *loop)
{
    for (int k = 0; k < YIELDS && atomic_load(&loop->wanted); k++)
        sched_yield();
}

/* Leave the lock to those who want it, and take it again. */
static void give_way(Loop *loop)
{
    if (!atomic_load(&loop->wanted))
        return;
    pthread_mutex_unlock(&loop->lock);
    let_others_in(loop);
    pthread_mutex_lock(&loop->lock);
}

static void run_timers(Loop *loop)
{
    int64_t instant = loop->timer_count ? now() : 0;

    while (loop->timer_count && (wakes_at(loop->timers[0]) <= instant || instant >= loop->stop_at)) {
        advance(loop, pop_timer(loop));
        give_way(loop);
    }
}

/* When idle users have something to do. */
static int64_t arrives_at(const Loop *loop)
{
    const Arrival *next = next_arrival(loop);
    int64_t at = next ? next->due : loop->is_last ? 0 : NEVER;

    return at < loop->stop_at ? at : loop->stop_at;
}

/* Have idle users send what is due, and hand them out when there is nothing more for them. */
static void run_arrivals(Loop *loop)
{
    int64_t instant = loop->idle_count ? now() : 0, stop_at = loop->stop_at;
    int is_stopped = instant >= stop_at;
    int64_t due_until = !is_stopped ? instant : instant < stop_at + LATEST ? stop_at - 1 : -1;

    while (loop->idle_count && loop->arrival_count && next_arrival(loop)->due <= due_until) {
        begin_arrival(loop, pop_idle(loop), instant);
        give_way(loop);
    }
    while (loop->idle_count && (is_stopped || is_used_up(loop)))
        hand_out(loop, pop_idle(loop), OVER);
}

/* Hand out those whose deadline had passed at this instant; what had come by then has been received since. */
static void find_late(Loop *loop, int64_t asked)
{
    loop->look_at = asked + loop->look_each;
    for (int k = 0; k < loop->user_count; k++) {
        User *user = user_of(loop, k);
        if (user->deadline >= asked)
            continue;
        if (user->state == SENT)
            hand_out_exchange(loop, user, (int64_t)user->payload->size, EAGAIN);
        else if (user->state == WATCHED)
            hand_out(loop, user, READABLE)->error = EAGAIN;
    }
}

/* epoll_wait to the nanosecond. */
static int poll_until(Loop *loop, struct epoll_event *ready, int64_t span)
{
    struct timespec most = timespec_of(span > COARSE ? span - span / 128 : span > 0 ? span : 0);

#ifdef SYS_epoll_pwait2
    if (loop->has_pwait2) {
        int count = (int)syscall(SYS_epoll_pwait2, loop->epoll, ready, READY, &most, NULL, 0);
        /* in a container the system call may be refused by another error than ENOSYS */
        if (count >= 0 || errno == EINTR)
            return count;
        loop->has_pwait2 = 0;
    }
#endif
    struct pollfd all = {.fd = loop->epoll, .events = POLLIN};
    return ppoll(&all, 1, &most, NULL) > 0 ? epoll_wait(loop->epoll, ready, READY, 0) : 0;
}

static void *run(void *given)
{
    Loop *loop = given;
    struct epoll_event ready[READY];

    prctl(PR_SET_NAME, "exchange-loop");
    /* Linux lets a wait end up to 50 us late, if a thread does not say otherwise */
    prctl(PR_SET_TIMERSLACK, 1);
    pthread_mutex_lock(&loop->lock);
    while (!loop->is_closing) {
        int64_t asked = now(), wake_at = loop->look_at;
        if (loop->timer_count && wakes_at(loop->timers[0]) < wake_at)
            wake_at = wakes_at(loop->timers[0]);
        if (loop->idle_count && arrives_at(loop) < wake_at)
            wake_at = arrives_at(loop);
        int may_be_short = loop->is_asked && loop->is_tight && !is_used_up(loop);
        pthread_mutex_unlock(&loop->lock);
        let_others_in(loop);
        int count = poll_until(loop, ready, may_be_short ? 0 : wake_at - asked);
        pthread_mutex_lock(&loop->lock);
        if (may_be_short && loop->is_tight && count == 0) {
            /* a thread that is behind with its replies needs no more users */
            loop->is_asked = loop->is_tight = 0;
            loop->is_short = 1;
        }
        for (int k = 0; k < count && !loop->is_closing; k++) {
            be_ready(loop, ready[k].data.fd);
            give_way(loop);
        }
        run_timers(loop);
        run_arrivals(loop);
        if (asked >= loop->look_at)
            find_late(loop, asked);
        if (loop_is_due(loop))
            pthread_cond_signal(&loop->has_news);
    }
    pthread_mutex_unlock(&loop->lock);
    return NULL;
}

static void rouse(Loop *loop)
{
    uint64_t one = 1;
    (void)!write(loop->waker, &one, sizeof one);
}

/* ---- what is called ---- */

static int start(Loop *loop)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    /* signals are for the threads that Python knows */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loop->thread, &attributes, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

Loop *loop_open(void)
{
    Loop *loop = calloc(1, sizeof *loop);
    pthread_condattr_t monotonic;
    int error;

    if (!loop)
        return NULL;
    pthread_mutex_init(&loop->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&loop->has_news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    loop->process = getpid();
    loop->has_pwait2 = 1;
    loop->stop_at = NEVER;
    loop->in_turn = 1;
    loop->look_each = SECOND / LOOKS;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event asked = {.events = EPOLLIN, .data.fd = loop->waker};
    int is_open = loop->epoll >= 0 && loop->waker >= 0;
    is_open = is_open && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->waker, &asked) == 0;
    error = is_open ? start(loop) : errno;
    if (error) {
        close(loop->epoll);
        close(loop->waker);
        free(loop);
        errno = error;
        return NULL;
    }
    return loop;
}

static void free_all(Loop *loop)
{
    for (int k = 0; k < loop->user_count; k++) {
        User *user = user_of(loop, k);
        free(user->turns);
        free(user->connections);
        free(user->pauses);
        leave_payload(user);
        free(user);
    }
    for (int k = 0; k < loop->request_count; k++) {
        Request *request = loop->requests[k];
        for (int head = 0; head < request->head_count; head++) {
            free(request->heads[head].bytes);
            free(request->heads[head].pattern);
        }
        free_payloads(request->payload);
        free(request->numbers);
        free(request->spare_numbers);
        free(request->samples);
        free(request->spare);
        free(request);
    }
    for (int k = 0; k < loop->event_count; k++)
        free(loop->events[k].data);
    free(loop->requests);
    for (int k = 0; k < BLOCKS; k++)
        free(loop->blocks[k]);
    free(loop->owners);
    free(loop->timers);
    free(loop->idle);
    free(loop->arrivals);
    free(loop->events);
    free(loop);
}

int loop_is_of_this_process(const Loop *loop)
{
    return loop->process == getpid();
}

void loop_close(Loop *loop)
{
    loop_enter(loop);
    loop->is_closing = 1;
    rouse(loop);
    loop_leave(loop);
    pthread_join(loop->thread, NULL);
    close(loop->epoll);
    close(loop->waker);
    free_all(loop);
}

void loop_enter(Loop *loop)
{
    atomic_fetch_add(&loop->wanted, 1);
    pthread_mutex_lock(&loop->lock);
    atomic_fetch_sub(&loop->wanted, 1);
}

void loop_leave(Loop *loop)
{
    pthread_mutex_unlock(&loop->lock);
}

static char *copied(const char *data, size_t size)
{
    char *copy = malloc(size ? size : 1);

    if (copy)
        memcpy(copy, data, size);
    return copy;
}

int loop_add_request(Loop *loop, Payload *payload, int64_t timeout, int is_repeatable)
{
    Request **requests = realloc(loop->requests, ((size_t)loop->request_count + 1) * sizeof *requests);
    Request *request = calloc(1, sizeof *request);

    if (requests)
        loop->requests = requests;
    if (!requests || !request) {
        free(request);
        free_payloads(payload);
        return -1;
    }
    request->payload = payload;
    request->is_supplied = !payload;
    request->end = &request->payload;
    request->timeout = timeout;
    request->is_repeatable = is_repeatable;
    if (timeout / LOOKS < loop->look_each)
        loop->look_each = timeout / LOOKS > MILLISECOND ? timeout / LOOKS : MILLISECOND;
    requests[loop->request_count] = request;
    return loop->request_count++;
}

int loop_supply(Loop *loop, int number, Payload *payloads)
{
    Request *request = number >= 0 && number < loop->request_count ? loop->requests[number] : NULL;

    if (!request || !request->is_supplied) {
        free_payloads(payloads);
        return -1;
    }
    for (Payload *payload = payloads; payload; payload = payload->next) {
        payload->number = request->supplied++;
        request->ready++;
        *request->end = payload;
        request->end = &payload->next;
    }
    request->few = request->ready / 2;
    return request->ready;
}

int loop_learn(Loop *loop, int number, const char *head, size_t head_size, int64_t size, int64_t status,
               const char *pattern, size_t pattern_size)
{
    if (number < 0 || number >= loop->request_count || !head_size || (int64_t)head_size > size)
        return -1;
    Request *request = loop->requests[number];
    int place = 0;
    while (place < request->head_count && (request->heads[place].length != head_size ||
                                           memcmp(request->heads[place].bytes, head, head_size) != 0))
        place++;
    if (place == HEADS) {
        place = request->oldest;
        request->oldest = (place + 1) % HEADS;
    }
    Head learned = {copied(head, head_size), head_size, size, status, copied(pattern, pattern_size), pattern_size};
    if (!learned.bytes || !learned.pattern) {
        free(learned.bytes);
        free(learned.pattern);
        return -1;
    }
    if (place == request->head_count)
        request->head_count++;
    free(request->heads[place].bytes);
    free(request->heads[place].pattern);
    request->heads[place] = learned;
    request->last = place;
    return 0;
}

/* Room for one more user, its timer, its event and its place among the idle ones. */
static int make_room(Loop *loop)
{
    if (loop->user_count < loop->user_room)
        return 1;
    int block = loop->user_room / BLOCK;
    size_t room = (size_t)loop->user_room + BLOCK;
    User **users = block < BLOCKS ? calloc(BLOCK, sizeof *users) : NULL;
    void *timers = realloc(loop->timers, room * sizeof *loop->timers);
    if (timers)
        loop->timers = timers;
    void *events = realloc(loop->events, (room + 1) * sizeof *loop->events);
    if (events)
        loop->events = events;
    User **idle = calloc(room, sizeof *idle);
    if (!users || !timers || !events || !idle) {
        free(users);
        free(idle);
        return 0;
    }
    for (int k = 0; k < loop->idle_count; k++)
        idle[k] = loop->idle[(loop->first_idle + k) % loop->user_room];
    free(loop->idle);
    loop->idle = idle;
    loop->first_idle = 0;
    loop->blocks[block] = users;
    loop->user_room = (int)room;
    return 1;
}

static User *make_user(const Turn *turns, int count, int connections)
{
    User *user = calloc(1, sizeof *user);

    if (!user)
        return NULL;
    user->turns = malloc((size_t)count * sizeof *turns);
    user->connections = calloc((size_t)connections, sizeof *user->connections);
    if (!user->turns || !user->connections) {
        free(user->turns);
        free(user->connections);
        free(user);
        return NULL;
    }
    memcpy(user->turns, turns, (size_t)count * sizeof *turns);
    user->turn_count = count;
    user->connection_count = connections;
    for (int k = 0; k < connections; k++)
        user->connections[k] = (Connection){.user = user, .fd = -1};
    return user;
}

int loop_add_user(Loop *loop, const Turn *turns, int count)
{
    int connections = 0;

    for (int k = 0; k < count; k++) {
        if (turns[k].request < 0 || turns[k].request >= loop->request_count || turns[k].connection < 0 ||
            turns[k].connection >= MANY)
            return -1;
        if (turns[k].connection >= connections)
            connections = turns[k].connection + 1;
    }
    User *user = count && make_room(loop) ? make_user(turns, count, connections) : NULL;
    if (!user)
        return -1;
    user->number = loop->user_count;
    user->position = -1;
    loop->blocks[user->number / BLOCK][user->number % BLOCK] = user;
    return loop->user_count++;
}

static Connection *connection_of(const User *user, int number)
{
    return user && number >= 0 && number < user->connection_count ? &user->connections[number] : NULL;
}

static int own(Loop *loop, Connection *connection, int fd)
{
    if (fd >= loop->owner_count) {
        size_t count = 2 * (size_t)fd + 64;
        Connection **owners = realloc(loop->owners, count * sizeof *owners);
        if (!owners)
            return -1;
        memset(owners + loop->owner_count, 0, (count - (size_t)loop->owner_count) * sizeof *owners);
        loop->owners = owners;
        loop->owner_count = (int)count;
    }
    loop->owners[fd] = connection;
    connection->fd = fd;
    return 0;
}

int loop_connect(Loop *loop, int number, int connection, int fd)
{
    User *user = user_of(loop, number);
    Connection *one = connection_of(user, connection);

    if (!one || user->state != OUT)
        return -1;
    end_polling(loop, one);
    if (has_descriptor(loop, one))
        loop->owners[one->fd] = NULL;
    one->fd = -1;
    one->is_usable = 0;
    return fd < 0 ? 0 : own(loop, one, fd);
}

/* While it was out a user's connections were the caller's. */
static void look_at_connections(Loop *loop, User *user)
{
    for (int k = 0; k < user->connection_count; k++) {
        Connection *one = &user->connections[k];
        if (!one->is_polled)
            one->is_usable = has_descriptor(loop, one) && !has_something(one->fd);
        if (one->is_usable)
            begin_polling(loop, one);
    }
}

int loop_resume(Loop *loop, int number, int64_t due, int64_t until, int64_t left)
{
    User *user = user_of(loop, number);

    if (!user || user->state != OUT)
        return -1;
    look_at_connections(loop, user);
    user->serves = 0;
    user->due = due;
    user->until = until;
    user->left = left;
    advance(loop, user);
    if (user->state == RESTING && loop->timers[0] == user)
        rouse(loop);
    return 0;
}

int loop_serve(Loop *loop, int number)
{
    User *user = user_of(loop, number);

    if (!user || user->state != OUT)
        return -1;
    look_at_connections(loop, user);
    user->serves = 1;
    advance(loop, user);
    if (user->state == RESTING && loop->idle_count == 1)
        rouse(loop);
    return 0;
}

int loop_offer(Loop *loop, const Arrival *arrivals, size_t count)
{
    size_t left = loop->arrival_count;

    if (loop->first_arrival && left)
        memmove(loop->arrivals, loop->arrivals + loop->first_arrival, left * sizeof *arrivals);
    loop->first_arrival = 0;
    if (left + count > loop->arrival_room) {
        size_t room = 2 * (left + count);
        Arrival *more = realloc(loop->arrivals, room * sizeof *more);
        if (!more)
            return -1;
        loop->arrivals = more;
        loop->arrival_room = room;
    }
    if (count)
        memcpy(loop->arrivals + left, arrivals, count * sizeof *arrivals);
    loop->arrival_count += count;
    if (!left && loop->idle_count)
        rouse(loop);
    return 0;
}

void loop_finish(Loop *loop)
{
    loop->is_last = 1;
    if (loop->idle_count)
        rouse(loop);
}

size_t loop_offered(const Loop *loop)
{
    return loop->arrival_count;
}

size_t loop_withdraw(Loop *loop)
{
    size_t count = loop->arrival_count;

    loop->arrival_count = 0;
    loop->is_last = 0;
    return count;
}

void loop_rotate(Loop *loop, int count)
{
    loop->in_turn = count;
}

void loop_ask_for_more(Loop *loop)
{
    loop->is_asked = 1;
    if (loop->is_tight)
        rouse(loop);
}

int loop_pace(Loop *loop, int number, int64_t *pauses, size_t count, int64_t pacing)
{
    User *user = user_of(loop, number);

    if (!user || user->state != OUT) {
        free(pauses);
        return -1;
    }
    free(user->pauses);
    user->pauses = pauses;
    user->pause_count = count;
    user->pauses_made = 0;
    user->pacing = pacing;
    return 0;
}

int64_t loop_take_pause(Loop *loop, int number)
{
    User *user = user_of(loop, number);

    return user && user->pauses_made < user->pause_count ? user->pauses[user->pauses_made++] : -1;
}

int loop_watch(Loop *loop, int number, int connection, int64_t deadline)
{
    User *user = user_of(loop, number);
    Connection *one = connection_of(user, connection);

    if (!one || user->state != OUT || !has_descriptor(loop, one))
        return -1;
    user->state = WATCHED;
    user->awaited = one;
    user->deadline = deadline;
    begin_polling(loop, one);
    return 0;
}

int loop_user(const Loop *loop, int number, int64_t *left, int64_t *first_sent, int64_t *last_taken)
{
    const User *user = user_of(loop, number);

    if (!user)
        return -1;
    *left = user->left;
    *first_sent = user->first_sent;
    *last_taken = user->first_sent ? user->last_taken : 0;
    return 0;
}

int loop_is_resting(const Loop *loop, int number)
{
    const User *user = user_of(loop, number);

    return user ? user->state == RESTING : -1;
}

int loop_forget_spell(Loop *loop, int number)
{
    User *user = user_of(loop, number);

    if (!user)
        return -1;
    user->first_sent = 0;
    return 0;
}

int loop_requests(const Loop *loop)
{
    return loop->request_count;
}

int loop_resting(const Loop *loop)
{
    return loop->timer_count + loop->idle_count;
}

void loop_set_wall_offset(Loop *loop, int64_t offset)
{
    loop->wall_offset = offset;
}

int loop_is_due(const Loop *loop)
{
    return loop->event_count || loop->is_short || loop->is_woken;
}

void loop_wait(Loop *loop, int64_t until)
{
    struct timespec deadline = timespec_of(until > 0 ? until : 0);

    while (!loop_is_due(loop) && now() < until)
        pthread_cond_timedwait(&loop->has_news, &loop->lock, &deadline);
}

int loop_take_events(Loop *loop, Event **events)
{
    int count = loop->event_count + loop->is_short;
    Event *fresh = count ? malloc(((size_t)loop->user_room + 1) * sizeof *fresh) : NULL;

    loop->is_woken = 0;
    if (!fresh)
        return 0;
    for (int k = 0; k < loop->event_count; k++)
        user_of(loop, loop->events[k].user)->state = OUT;
    if (loop->is_short)
        loop->events[loop->event_count] = (Event){.what = SHORT, .user = -1, .request = -1, .payload = -1};
    loop->is_short = 0;
    *events = loop->events;
    loop->events = fresh;
    loop->event_count = 0;
    return count;
}

size_t loop_take_samples(Loop *loop, int number, const Sample **samples)
{
    Request *request = loop->requests[number];
    size_t count = request->count, room = request->room;

    *samples = request->samples;
    int64_t *numbers = request->numbers;
    request->samples = request->spare;
    request->numbers = request->spare_numbers;
    request->room = request->spare_room;
    request->spare = (Sample *)*samples;
    request->spare_numbers = numbers;
    request->spare_room = room;
    request->spare_count = count;
    request->count = 0;
    loop->sample_count -= count;
    return count;
}

size_t loop_payloads(Loop *loop, int number, const int64_t **numbers)
{
    const Request *request = loop->requests[number];

    *numbers = request->spare_numbers;
    return request->is_supplied ? request->spare_count : 0;
}

void loop_stop(Loop *loop, int64_t instant)
{
    if (instant < loop->stop_at)
        loop->stop_at = instant;
    rouse(loop);
}

void loop_wake(Loop *loop)
{
    loop->is_woken = 1;
    pthread_cond_signal(&loop->has_news);
}
