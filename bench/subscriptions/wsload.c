// wsload - subscribes as many watches would, publishes frames as the aggregator does, checks every message.
//
//   wsload [-p port] [-N nats-port] [-n connections] [-H homes] [-z homes in a community]
//          [-g gather ms] [-k stalled] [-c handshakes in flight] [-e]
//
// Connection i subscribes over graphql-transport-ws at /graphql to home number i mod H, under an id of its own.
// Home k is home k/C of community k mod C, so that neighbours in the round are of different communities; each of
// the C = ceil(H/z) communities has z homes, of which those numbered H and more never change.  An update changes
// one home.  Its frame goes out at once if the community's last one is `gather` ms old; otherwise the changes of
// these ms share one frame.  A frame carries the community, all its homes and which of them changed.  The first k
// connections stop reading once they are subscribed; they count as nothing and are checked for nothing.
//
// Publisher and clients are one process: the closed loop is exact, and latency needs no agreement of clocks.
// Commands come on stdin, one a line; each answers with one line of JSON on stdout:
//
//   connect              publish all communities, open all connections, wait for the first value of each
//   sync                 change every home until each connection holds its home's latest change
//   flood SECS WINDOW    closed loop: WINDOW undelivered updates per connection, as fast as it goes
//   rate HZ SECS         open loop: HZ updates/s in all, round the homes; then wait for what is under way
//   stuff COUNT HZ       COUNT changes of each home that a stalled connection watches, HZ changes/s in all
//   idle SECS            only listen
//
// Every message tells where it comes from: netPower is 1000.5 + the home's sequence number (0..8191), pvPower
// 10000.5 + the home's number, surplusPower 10000.5 + the community's.  So loss, doubles, reordering and values of
// other homes or communities show.  surplusPower never changes, for else an update would be one for all homes of
// the community.  What is not selected changes with each frame, as it does in life.
//
// Latency runs from the change (not from its frame) to the recv() that returned its message.
// -e prints one frame and ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef int64_t i64;
enum { SEQS = 8192, RING = 256, SUB = 128 };  // sequence numbers, publish times kept per home, buckets per octave pair
enum { PER_ADDRESS = 25000 };                 // connections from each of 127.0.0.1, 127.0.0.2, ...
enum { HTTP, ACK, LIVE, STALLED, DEAD };      // a connection waits for 101, for connection_ack, listens, sleeps, is gone
enum { HOME_TEXT = 768 };

typedef struct { int fd, state, home, seq, kept; char *rest; } Conn;  // seq: last one seen; rest: a frame's begin
typedef struct { int seq, fanout, length; u64 at[RING]; char text[HOME_TEXT]; } Home;
typedef struct { i64 number; u64 sent; int waiting; } Community;      // waiting: changes not yet in a frame

static Conn *conns;
static Home *homes;                           // by number; those from H on are there, but nobody changes them
static char *changed;                         // by number: is in the next frame's list
static Community *communities;
static int port = 8000, nats_port = 4222, N = 1, H = 1, Z = 50, C, stalled, at_once = 128;
static u64 gather;                            // ns
static int epoll, nats = -1, live, asleep, opening, dead, next_home, waiting;
static long outstanding;                      // changes to deliver, over all connections that are checked
static char sample[4096], trouble[512];       // the first value seen; the first thing that went wrong

static struct {                               // since the command began
    u64 updates, frames, frame_bytes, messages, bytes, bad, foreign, skipped, doubles, reordered, untimed, last, late;
    u64 subscribed, firsts, least, most, timed, histogram[58 * SUB];
} S;

static const u64 SEC = 1000000000;
static u64 clock_ns(int which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * SEC + t.tv_nsec;
}
static u64 now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static i64 unix_ms(void) { return clock_ns(CLOCK_REALTIME) / 1000000; }
#define COMPLAIN(...) do { if (!*trouble) snprintf(trouble, sizeof trouble, __VA_ARGS__); } while (0)

// --- latencies: 64 linear buckets an octave, so exact to 1.6 % ---

static int bucket(u64 v) {
    int shift = v < SUB ? 0 : 57 - __builtin_clzll(v);
    return shift * SUB + (int)(v >> shift);
}
static void add_latency(u64 v) {
    S.histogram[bucket(v)]++;
    S.timed++;
    if (v < S.least) S.least = v;
    if (v > S.most) S.most = v;
}
static double quantile_us(double q) {
    u64 want = q * S.timed, seen = 0;
    for (int i = 0; i < 58 * SUB; i++)
        if ((seen += S.histogram[i]) > want) {
            double v = (i % SUB + .5) * (1ull << i / SUB);
            return (v < S.most ? v : S.most) / 1e3;
        }
    return -1;
}

// --- the publisher: homes, frames, NATS ---

static char out[4 << 20];
static int queued;
static void flush_out(void) {
    for (int done = 0; done < queued;) {
        int n = send(nats, out + done, queued - done, MSG_NOSIGNAL);
        if (n <= 0) { perror("nats"); exit(1); }
        done += n;
    }
    queued = 0;
}
static void write_home(int number, i64 at) {  // no selected number ends in 0: every state is as long as the others
    Home *h = &homes[number];
    int s = h->seq, d = s % 9000;
    h->length = snprintf(h->text, HOME_TEXT, "[\"h%03d\",%lld,%d.5,0.0,%d.5,%d.5,-%d.5,0.%d5,%d.5,%d.5,0.0,0.%d5,0.%d5,\"%s\","
        "\"MEASURED\",[%d,%d,%d,%d,%d,\"%d.25\",\"EUR\",%lld,\"PROVISIONAL\"]]",
        number / C, (long long)at, s + 1000, s + 1000, number + 10000, s % 900 + 100, s % 10, d + 10000, d + 500, s % 10, s % 7,
        s & 1 ? "GREEN" : "YELLOW", d + 1000, d + 500, d + 7000, d + 8000, d + 300, d + 100, (long long)(at - at % 86400000));
}
static char *write_frame(int c, int *length) {
    static char text[1 << 20];
    Community *who = &communities[c];
    char *p = text, *end = text + sizeof text;
    i64 at = unix_ms(), n = ++who->number;
    int d = n % 9000;
    p += sprintf(p, "{\"number\":%lld,\"at\":%lld,\"state\":{\"community\":\"c%03d\",\"measured_at\":%lld,\"power_import_w\":%d.5,"
        "\"power_export_w\":%d.5,\"surplus_power_w\":%d.5,\"shared_power_w\":%d.5,\"pv_power_w\":%d.5,\"load_w\":%d.5,"
        "\"self_sufficiency\":0.%d5,\"self_consumption\":0.%d5,\"light\":\"YELLOW\",\"trend\":\"STEADY\",\"homes_reporting\":%d,"
        "\"homes_total\":%d,\"today\":[%d,%d,%d,%d,%d,\"%d.75\",\"EUR\",%lld,\"PROVISIONAL\"]},\"changed\":[",
        (long long)n, (long long)at, c, (long long)at, d + 1000, d + 11000 + c, c + 10000, d + 700, d + 20000, d + 21000, (int)(n % 10),
        (int)(n % 7), Z, Z, d + 1000, d + 2000, d + 3000, d + 4000, d + 5000, d + 6000, (long long)(at - at % 86400000));
    int any = 0;
    for (int k = c; k < Z * C; k += C)
        if (changed[k]) { p += sprintf(p, "%s\"h%03d\"", any ? "," : "", k / C); any = 1; changed[k] = 0; }
    p += sprintf(p, "],\"homes\":{");
    for (int k = c; k < Z * C; k += C) {
        if (end - p < HOME_TEXT + 32) { fprintf(stderr, "%d homes do not fit into a frame\n", Z); exit(2); }
        p += sprintf(p, "%s\"h%03d\":", k == c ? "" : ",", k / C);
        memcpy(p, homes[k].text, homes[k].length);
        p += homes[k].length;
    }
    *p++ = '}', *p++ = '}';
    *length = p - text;
    return text;
}
static void send_frame_of(int c, u64 now) {
    int length;
    char *text = write_frame(c, &length);
    if (queued + length + 64 > (int)sizeof out) flush_out();
    queued += sprintf(out + queued, "PUB live.c%03d %d\r\n", c, length);
    memcpy(out + queued, text, length);
    queued += length;
    out[queued++] = '\r', out[queued++] = '\n';
    waiting -= communities[c].waiting;
    communities[c].waiting = 0;
    communities[c].sent = now;
    S.frames++;
    S.frame_bytes += length;
}
static u64 send_due(u64 now) {                // frames whose time has come; returns when the next one is due
    u64 next = ~0ull;
    for (int c = 0; waiting && c < C; c++)
        if (communities[c].waiting) {
            u64 due = communities[c].sent + gather;
            if (due <= now) send_frame_of(c, now);
            else if (due < next) next = due;
        }
    return next;
}
static void publish(u64 now) {                // a change of the next home in the round
    int k = next_home, c = k % C;
    next_home = (k + 1) % H;
    if (changed[k]) send_frame_of(c, now);    // no change may replace one that was in no frame
    int s = homes[k].seq = (homes[k].seq + 1) & (SEQS - 1);
    homes[k].at[s % RING] = now;
    write_home(k, unix_ms());
    changed[k] = 1;
    communities[c].waiting++, waiting++;
    outstanding += homes[k].fanout;
    S.updates++;
    if (now >= communities[c].sent + gather) send_frame_of(c, now);
}
static void set_up(void) {
    C = (H + Z - 1) / Z;
    conns = calloc(N + 1, sizeof *conns);
    homes = calloc((size_t)Z * C, sizeof *homes);
    changed = calloc((size_t)Z * C, 1);
    communities = calloc(C, sizeof *communities);
    i64 at = unix_ms();
    for (int k = 0; k < Z * C; k++) { write_home(k, at); changed[k] = 1; }
    for (int c = 0; c < C; c++) communities[c].number = at;    // later runs on the same NATS have higher numbers
    for (int i = 0; i < N; i++) conns[i].state = DEAD;
}
static void nats_open(void) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(nats_port) };
    int one = 1;
    nats = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(nats, (void *)&to, sizeof to)) { perror("nats connect"); exit(1); }
    setsockopt(nats, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    queued = sprintf(out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"wsload\"}\r\n");
    flush_out();
    epoll_ctl(epoll, EPOLL_CTL_ADD, nats, &(struct epoll_event){ .events = EPOLLIN });
}
static void nats_readable(void) {
    char b[4096];
    int n = recv(nats, b, sizeof b - 1, MSG_DONTWAIT);
    if (n == 0) { fprintf(stderr, "nats closed\n"); exit(1); }
    b[n > 0 ? n : 0] = 0;
    if (strstr(b, "PING")) queued += sprintf(out + queued, "PONG\r\n");
    if (strstr(b, "-ERR")) fprintf(stderr, "nats: %s", b);
}

// --- the clients ---

static void send_ws(Conn *c, int op, const char *p, int n) {   // n < 65536; masked with zero, so nothing to change
    char b[n + 8];
    int h = 2;
    b[0] = 0x80 | op;
    if (n < 126) b[1] = 0x80 | n;
    else { b[1] = (char)(0x80 | 126); b[2] = n >> 8; b[3] = n; h = 4; }
    memset(b + h, 0, 4);
    memcpy(b + h + 4, p, n);
    if (send(c->fd, b, h + 4 + n, MSG_NOSIGNAL | MSG_DONTWAIT) != h + 4 + n) COMPLAIN("short send to the server");
}
static void bury(Conn *c, const char *why) {
    if (c->state == DEAD) return;
    if (c->state == LIVE) {
        live--;
        homes[c->home].fanout--;
        if (c->seq >= 0) outstanding -= (homes[c->home].seq - c->seq) & (SEQS - 1);
    } else opening--;
    COMPLAIN("connection lost: %s", why);
    c->state = DEAD;
    dead++;
    close(c->fd);
}
static const char *value(const char *p, const char *key) {      // a JSON value's text; the keys here occur once
    const char *v = strstr(p, key);
    if (!v) return "";
    v += strlen(key);
    return v + strspn(v, " :");
}
static int half(const char *v) {                                // n of "<n>.5", else -1
    char *end;
    long n = strtol(v, &end, 10);
    return end > v && !strncmp(end, ".5", 2) && strchr(",} ", end[2]) ? n : -1;
}
static int starts(const char *p, const char *with) { return !strncmp(p, with, strlen(with)); }

#define ID "c0ffee00-0000-4000-8000-"                           // and 12 hexadecimal digits: the connection's number
static void subscribe(Conn *c) {
    char q[512];
    int n = snprintf(q, sizeof q, "{\"id\":\"" ID "%012tx\",\"type\":\"subscribe\",\"payload\":{\"operationName\":\"Face\",\"query\":"
        "\"subscription Face($home: ID!) { home(id: $home) { netPower pvPower community { surplusPower } selfSufficiency light } }\","
        "\"variables\":{\"home\":\"c%03d.h%03d\"}}}", c - conns, c->home % C, c->home / C);
    send_ws(c, 1, q, n);
    opening--;
    if (c - conns < stalled) {
        c->state = STALLED;
        asleep++;
        epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
        return;
    }
    c->state = LIVE;
    live++;
    homes[c->home].fanout++;
}
static void on_text(Conn *c, const char *p, int n, u64 now) {   // p ends in NUL
    const char *type = value(p, "\"type\"");
    if (starts(type, "\"ping\"")) { send_ws(c, 1, "{\"type\":\"pong\"}", 15); return; }
    if (c->state == ACK && starts(type, "\"connection_ack\"")) { subscribe(c); return; }

    int seq = half(value(p, "\"netPower\"")) - 1000, home = half(value(p, "\"pvPower\"")) - 10000;
    int community = half(value(p, "\"surplusPower\"")) - 10000;
    const char *light = value(p, "\"light\""), *id = value(p, "\"id\"");
    int ok = starts(type, "\"next\"") && starts(id, "\"" ID) && strtol(id + strlen("\"" ID), NULL, 16) == c - conns
        && seq >= 0 && seq < SEQS && home >= 0 && community >= 0 && starts(value(p, "\"selfSufficiency\""), "0.")
        && starts(light, seq & 1 ? "\"GREEN\"" : "\"YELLOW\"") && p[n - 1] == '}' && !strstr(p, "\"errors\"");
    if (!ok) { S.bad++; COMPLAIN("bad message: %.400s", p); return; }
    if (!*sample) snprintf(sample, sizeof sample, "%s", p);
    if (home != c->home || community != c->home % C) { S.foreign++; COMPLAIN("of another home: %.400s", p); return; }

    if (c->seq >= 0) {                        // what was left out is accounted for by the message after it
        int step = (seq - c->seq) & (SEQS - 1);
        if (step == 0) { S.doubles++; COMPLAIN("twice: %.400s", p); return; }
        if (step > SEQS / 2) { S.reordered++; COMPLAIN("an older state: %.400s", p); return; }
        S.skipped += step - 1;
        outstanding -= step;
    } else S.firsts++;
    c->seq = seq;
    S.messages++;
    S.last = now;
    int lag = (homes[home].seq - seq) & (SEQS - 1);
    u64 at = lag < RING ? homes[home].at[seq % RING] : 0;
    if (at && at <= now) add_latency(now - at); else S.untimed++;
}
static void on_readable(Conn *c) {
    static char buf[1 << 20];
    if (c->kept) memcpy(buf, c->rest, c->kept);
    int got = recv(c->fd, buf + c->kept, sizeof buf - 1 - c->kept, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { bury(c, got ? strerror(errno) : "closed by the server"); return; }
    u64 now = now_ns();
    int n = c->kept + got, off = 0;
    S.bytes += got;
    buf[n] = 0;
    if (c->state == HTTP) {
        char *end = strstr(buf, "\r\n\r\n");
        if (end) {                            // the answer to the constant key of open_conn(), after RFC 6455
            if (!starts(buf, "HTTP/1.1 101") || !strstr(buf, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) { buf[200] = 0; bury(c, buf); return; }
            c->state = ACK;
            off = end + 4 - buf;
            send_ws(c, 1, "{\"type\":\"connection_init\"}", 26);
        }
    }
    while (c->state != HTTP && n - off >= 2) {    // a server's frames are not masked; here a message is one frame
        unsigned char *f = (unsigned char *)buf + off;
        long len = f[1] & 127, h = len == 126 ? 4 : len == 127 ? 10 : 2;
        if (n - off < h) break;
        if (len == 126) len = f[2] << 8 | f[3];
        else if (len == 127) len = (long)f[6] << 24 | f[7] << 16 | f[8] << 8 | f[9];
        if (n - off < h + len) break;
        char *p = (char *)f + h, next = p[len];
        p[len] = 0;
        if (f[0] == 0x81) on_text(c, p, len, now);
        else if (f[0] == 0x89) send_ws(c, 10, p, len);                          // ping
        else if (f[0] == 0x88) { bury(c, len > 2 ? p + 2 : "close frame"); return; }
        else if (f[0] != 0x8a) { S.bad++; COMPLAIN("a frame with first byte %02x", f[0]); }
        p[len] = next;
        off += h + len;
        if (c->state == STALLED) return;
    }
    c->kept = n - off;
    if (c->kept) c->rest = memcpy(realloc(c->rest, c->kept), buf + off, c->kept);
}
static void open_conn(int i) {
    static const char request[] = "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / PER_ADDRESS) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int one = 1, small = 2304, segment = 536;
    Conn *c = &conns[i];
    *c = (Conn){ .fd = socket(AF_INET, SOCK_STREAM, 0), .state = HTTP, .home = i % H, .seq = -1 };
    opening++;
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (i < stalled) {                        // loopback's segments of 64 KiB would let the kernel take in megabytes
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (bind(c->fd, (void *)&from, sizeof from) || connect(c->fd, (void *)&to, sizeof to)
        || send(c->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) { bury(c, strerror(errno)); return; }
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
}

// --- the loop, and the commands ---

static void pump(u64 until) {                 // one round of epoll, asleep until `until` or the next frame at most
    static struct epoll_event ev[1024];
    u64 now = now_ns(), due = send_due(now);
    if (due < until) until = due;
    if (queued) flush_out();
    u64 left = until > now ? until - now : 0;
    int n = epoll_pwait2(epoll, ev, 1024, &(struct timespec){ left / SEC, left % SEC }, NULL);
    for (int i = 0; i < n; i++) if (ev[i].data.ptr) on_readable(ev[i].data.ptr); else nats_readable();
}
static long connect_all(u64 began) {
    for (int c = 0; c < C; c++) send_frame_of(c, now_ns());
    for (u64 t = now_ns() + SEC / 5; now_ns() < t;) pump(t);    // until the stream holds the frames
    u64 start = now_ns(), give_up = start + 120 * SEC;
    for (int i = 0; (i < N || opening) && now_ns() < give_up;) {
        while (i < N && opening < at_once) open_conn(i++);
        pump(now_ns() + SEC / 10);
    }
    S.subscribed = now_ns() - start;
    while (S.firsts < (u64)live && !S.bad && now_ns() < give_up) pump(now_ns() + SEC / 10);
    S.last = S.last ? S.last - start + began : 0;               // the wait for the stream is not the server's
    return live - S.firsts;
}
static int behind(void) {                     // live connections that lack their home's latest change
    int k = 0;
    for (int i = 0; i < N; i++) k += conns[i].state == LIVE && conns[i].seq != homes[conns[i].home].seq;
    return k;
}
static long sync_all(int tries) {
    for (int once = 1; (once || behind()) && tries--; once = 0) {
        for (int h = 0; h < H; h++) { publish(now_ns()); pump(0); }
        for (u64 t = now_ns(); (behind() || waiting) && now_ns() - t < SEC;) pump(now_ns() + SEC / 100);
    }
    outstanding = 0;
    return behind();
}
static long drain(void) {                     // until all is accounted for, or nothing came for 5 s
    u64 quiet_since = now_ns(), seen = S.messages;
    while ((outstanding > 0 || waiting) && now_ns() - quiet_since < 5 * SEC) {
        pump(now_ns() + SEC / 10);
        if (S.messages != seen) seen = S.messages, quiet_since = now_ns();
    }
    return outstanding;
}
static void flood(double secs, double window) {
    u64 t0 = now_ns(), now, progress = t0, seen = 0;
    while ((now = now_ns()) < t0 + secs * SEC && now - progress < 5 * SEC) {
        while (outstanding < window * live && queued < 1 << 18) publish(now);
        pump(now + SEC / 100);
        if (S.messages != seen) seen = S.messages, progress = now;
    }
}
static void fixed_rate(double hz, double secs) {
    u64 t0 = now_ns();
    for (u64 k = 0; k < (u64)(hz * secs);) {
        u64 now = now_ns(), due = t0 + k * (SEC / hz);
        if (now < due) { pump(due); continue; }
        if (now - due > S.late) S.late = now - due;
        publish(now);
        if (++k % 32 == 0) pump(0);           // when late, at most 32 changes between reads
    }
}
static void stuff(double count, double hz) {  // until the kernel takes nothing more for the stalled
    int resume = next_home, few = stalled < H ? stalled : H;
    u64 t0 = now_ns();
    for (u64 k = 0; few && k < (u64)(count * few); k++) {
        for (u64 due = t0 + k * (SEC / hz); now_ns() < due;) pump(due);
        next_home = k % few;
        publish(now_ns());
        if (k % 32 == 0) pump(0);
    }
    next_home = resume;
}
static long unread(void) {                    // bytes that lie before the stalled, unread
    long all = 0;
    for (int i = 0, n; i < N; i++) if (conns[i].state == STALLED && !ioctl(conns[i].fd, FIONREAD, &n)) all += n;
    return all;
}
static void quoted(const char *s) {
    putchar('"');
    for (; *s; s++) { if (*s == '"' || *s == '\\') putchar('\\'); if ((unsigned char)*s >= 32) putchar(*s); }
    putchar('"');
}
static void report(const char *cmd, double secs, long undelivered) {
#define INT(name, v) printf(",\"%s\":%lld", name, (long long)(v))
    printf("{\"cmd\":\"%s\",\"secs\":%.6f,\"subscribed_s\":%.6f", cmd, secs, S.subscribed / 1e9);
    if (S.messages) printf(",\"bytes_per_message\":%.1f", (double)S.bytes / S.messages);
    INT("live", live); INT("stalled", asleep); INT("dead", dead); INT("updates", S.updates); INT("frames", S.frames);
    INT("frame_bytes", S.frame_bytes); INT("messages", S.messages); INT("bytes", S.bytes);
    INT("bad", S.bad); INT("foreign", S.foreign); INT("skipped", S.skipped); INT("doubles", S.doubles); INT("reordered", S.reordered);
    INT("undelivered", undelivered); INT("untimed", S.untimed); INT("stalled_unread", unread());
    printf(",\"late_ms\":%.3f,\"lat_us\":{\"n\":%lld,\"min\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},\"trouble\":",
        S.late / 1e6, (long long)S.timed, S.timed ? S.least / 1e3 : -1, quantile_us(.5), quantile_us(.9), quantile_us(.99), S.most / 1e3);
    quoted(trouble);
    printf(",\"sample\":");
    quoted(sample);
    printf("}\n");
    fflush(stdout);
}
int main(int argc, char **argv) {
    int example = 0;
    for (int o; (o = getopt(argc, argv, "p:N:n:H:z:g:k:c:e")) > 0;)
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'N': nats_port = atoi(optarg); break;
        case 'n': N = atoi(optarg); break;
        case 'H': H = atoi(optarg); break;
        case 'z': Z = atoi(optarg); break;
        case 'g': gather = atof(optarg) * 1e6; break;
        case 'k': stalled = atoi(optarg); break;
        case 'c': at_once = atoi(optarg); break;
        case 'e': example = 1; break;
        default: return 2;
        }
    if (N < 1 || H < 1 || Z < 1 || at_once < 1) return 2;
    set_up();
    if (example) {
        int length;
        char *text = write_frame(0, &length);
        return fwrite(text, 1, length, stdout) != (size_t)length;
    }
    epoll = epoll_create1(0);
    nats_open();
    char line[256], cmd[32];
    while (fgets(line, sizeof line, stdin)) {
        double x = 0, y = 0;
        if (sscanf(line, "%31s %lf %lf", cmd, &x, &y) < 1) continue;
        memset(&S, 0, sizeof S);
        S.least = ~0ull;
        u64 t0 = now_ns();
        long undelivered = 0;
        if (!strcmp(cmd, "connect")) undelivered = connect_all(t0);
        else if (!strcmp(cmd, "sync")) undelivered = sync_all(20);
        else if (!strcmp(cmd, "flood")) { flood(x, y); undelivered = drain(); }
        else if (!strcmp(cmd, "rate")) { fixed_rate(x, y); undelivered = drain(); }
        else if (!strcmp(cmd, "stuff")) { stuff(x, y); undelivered = drain(); }
        else if (!strcmp(cmd, "idle")) { while (now_ns() < t0 + x * SEC) pump(t0 + x * SEC); S.last = 0; }
        else { fprintf(stderr, "unknown command %s", line); return 2; }
        report(cmd, ((S.last ? S.last : now_ns()) - t0) / 1e9, undelivered);    // up to the last delivery
    }
    return 0;
}
