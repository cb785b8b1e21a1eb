/* The clock and the socket, as both the exchange and the loop use them. */
#ifndef LOADKIT_SOCKETS_H
#define LOADKIT_SOCKETS_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SECOND 1000000000LL
#define MILLISECOND 1000000LL
/* What one receive may bring; a longer reply is read on in Python. */
#define BUFFER (16 * 1024)
/* A connection that rested so long is warmed up: 9 us lie between the stamp and the packet then, not 12. */
#define COOLED (5 * MILLISECOND)

static inline int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static inline struct timespec timespec_of(int64_t span)
{
    return (struct timespec){.tv_sec = span / SECOND, .tv_nsec = span % SECOND};
}

static inline int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(time);
}

/* True if anything has come, be it the end or an error. */
static inline int has_something(int fd)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN | POLLPRI | POLLRDHUP};
    return poll(&asked, 1, 0) != 0;
}

/* Sending nothing warms the way through the kernel. */
static inline void warm_up(int fd)
{
    send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline ssize_t send_at_once(int fd, const char *data, size_t size)
{
    return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Receive into a buffer of BUFFER bytes; the stamp is of the wall clock, 0 for none. */
static inline ssize_t receive(int fd, char *buffer, int flags, int64_t *stamp)
{
    union {
        struct cmsghdr aligned;
        char bytes[64];
    } ancillary;
    struct iovec room = {.iov_base = buffer, .iov_len = BUFFER};
    struct msghdr message = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
    ssize_t came = recvmsg(fd, &message, flags);
    struct cmsghdr *control = came < 0 ? NULL : CMSG_FIRSTHDR(&message);
    struct timespec time;

    *stamp = 0;
    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
        memcpy(&time, CMSG_DATA(control), sizeof time);
        *stamp = nanoseconds(time);
    }
    return came;
}

#endif
