/* A server whose delays are known, and which can stall.
 *
 * usage: server PORT delays|stalls LOG
 *
 * It answers every GET on a keep-alive connection with a little JSON. The k-th request waits 2 ms and an exponential
 * time of 3 ms mean: its quantile at the k-th point of the golden-ratio sequence, which fills 0 to 1 so evenly that the
 * percentiles of any thousand requests in a row are those of the distribution. With `stalls` the whole process sleeps
 * for a second, two seconds after its first request and then every five: nothing is read, nothing is answered.
 *
 * SIGTERM ends it. It then writes into LOG what it knows: for each reply, in order, the nanoseconds from the read
 * that completed the request to the send of the reply, as int64.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 8192, EVENTS = 256, BACKLOG = 8192 };
static const int64_t SECOND = 1000000000, FLOOR = 2000000, MEAN = 3000000;
static const int64_t FIRST_STALL = 2000000000, STALL = 1000000000, EVERY = 5000000000;
static const double GOLDEN = 0.6180339887498949;
static const char REPLY[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 53\r\n\r\n"
                            "{\"items\": [{\"id\": 12345, \"sku\": \"tea\", \"price\": 45}]}";

struct client {
    int fd;
    bool waits, gone;
    int64_t asked, due;
    size_t have;
    char head[HEAD];
};

/* A growing array of int64, and one of clients that is kept as a heap by what is due first. */
static int64_t *made;
static size_t replies, made_room;
static struct client **heap;
static size_t waiting, heap_room;

static uint64_t requests;
static int64_t next_stall = INT64_MAX;
static bool stalls;
static volatile sig_atomic_t over;
static int poll;

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static void *grown(void *array, size_t have, size_t *room, size_t each) {
    if (have < *room) return array;
    *room = *room ? *room * 2 : 1024;
    array = realloc(array, *room * each);
    if (!array) give_up("realloc");
    return array;
}

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static void end(int number) {
    (void)number;
    over = 1;
}

static void push(struct client *client) {
    heap = grown(heap, waiting, &heap_room, sizeof *heap);
    size_t at = waiting++;
    for (; at && heap[(at - 1) / 2]->due > client->due; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = client;
}

static struct client *pop(void) {
    struct client *first = heap[0], *last = heap[--waiting];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < waiting; at = child) {
        if (child + 1 < waiting && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= last->due) break;
        heap[at] = heap[child];
    }
    if (waiting) heap[at] = last;
    return first;
}

static void drop(struct client *client) {
    close(client->fd);
    free(client);
}

static int64_t delay(uint64_t nth) {
    double point = nth * GOLDEN;
    return FLOOR + (int64_t)(MEAN * -log1p(-(point - floor(point))));
}

/* Take the first request out of what has come; the rest stays for later. */
static void take_request(struct client *client) {
    char *blank = memmem(client->head, client->have, "\r\n\r\n", 4);
    if (!blank) return;
    client->have -= blank + 4 - client->head;
    memmove(client->head, blank + 4, client->have);
    client->waits = true;
    client->asked = now();
    client->due = client->asked + delay(++requests);
    if (requests == 1 && stalls) next_stall = client->asked + FIRST_STALL;
    push(client);
}

static void read_from(struct client *client) {
    ssize_t got = recv(client->fd, client->head + client->have, HEAD - client->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        client->gone = true;
        /* one that waits is still in the heap, and dropped when its time comes */
        if (!client->waits) drop(client);
        else if (epoll_ctl(poll, EPOLL_CTL_DEL, client->fd, NULL)) give_up("epoll_ctl");
        return;
    }
    client->have += got;
    if (!client->waits) take_request(client);
}

static void answer(struct client *client) {
    client->waits = false;
    if (client->gone || send(client->fd, REPLY, sizeof REPLY - 1, MSG_NOSIGNAL) != sizeof REPLY - 1) {
        drop(client);
        return;
    }
    made = grown(made, replies, &made_room, sizeof *made);
    made[replies++] = now() - client->asked;
    take_request(client);
}

static void welcome(int listener) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    struct client *client = calloc(1, sizeof *client);
    if (!client) give_up("calloc");
    client->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) give_up("epoll_ctl");
}

static void stall_if_it_is_time(void) {
    if (now() < next_stall) return;
    int64_t until = next_stall + STALL;
    struct timespec at = {until / SECOND, until % SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
    next_stall += EVERY;
}

static int wait_for(struct epoll_event *events, const sigset_t *signals) {
    int64_t until = waiting ? heap[0]->due : INT64_MAX;
    if (next_stall < until) until = next_stall;
    int64_t left = until - now();
    if (left < 0) left = 0;
    struct timespec span = {left / SECOND, left % SECOND};
    int count = epoll_pwait2(poll, events, EVENTS, until == INT64_MAX ? NULL : &span, signals);
    if (count < 0 && errno != EINTR) give_up("epoll_pwait2");
    return count;
}

static void serve(int listener, const sigset_t *signals) {
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = NULL};
    poll = epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event)) give_up("epoll");
    while (!over) {
        int count = wait_for(events, signals);
        stall_if_it_is_time();
        for (int i = 0; i < count; i++)
            if (events[i].data.ptr)
                read_from(events[i].data.ptr);
            else
                welcome(listener);
        while (waiting && heap[0]->due <= now()) answer(pop());
    }
}

static int listening(int port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) || listen(fd, BACKLOG)) give_up("listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 4) return fputs("usage: server PORT delays|stalls LOG\n", stderr), 2;
    stalls = !strcmp(argv[2], "stalls");
    /* delivered only while it waits for events, so that none is lost between the look at `over` and the wait */
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end}, NULL);
    /* timers as exact as the kernel has them; 50 us late is its habit */
    prctl(PR_SET_TIMERSLACK, 1);
    serve(listening(atoi(argv[1])), &before);
    FILE *log = fopen(argv[3], "wb");
    if (!log || fwrite(made, sizeof *made, replies, log) != replies || fclose(log)) give_up(argv[3]);
}
