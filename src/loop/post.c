/* Calls from other threads: a locked list and an eventfd that wakes the loop. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/loop_priv.h"

typedef struct Post {
    ListNode node;
    LoopFn *fn;
    void *user;
} Post;

void loop_wake(Loop *loop)
{
    uint64_t one = 1;
    ssize_t count = write(loop->wake_fd, &one, sizeof(one));
    ASSERT(count == (ssize_t)sizeof(one) || errno == EAGAIN); /* EAGAIN: it is awake enough */
}

void loop_post(Loop *loop, LoopFn *fn, void *user)
{
    Post *post = mem_alloc(sizeof(Post));
    post->fn = fn;
    post->user = user;
    pthread_mutex_lock(&loop->post_lock);
    bool first = loop->posts.len == 0;
    list_push_back(&loop->posts, &post->node);
    pthread_mutex_unlock(&loop->post_lock);
    if (first) {
        loop_wake(loop);
    }
}

/* Takes the list as it is: what the calls post themselves comes in the next turn. */
static void posts_run(void *user, uint32_t events)
{
    (void)events;
    Loop *loop = user;
    uint64_t count;
    ssize_t got = read(loop->wake_fd, &count, sizeof(count));
    ASSERT(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    List taken;
    list_init(&taken);
    pthread_mutex_lock(&loop->post_lock);
    for (ListNode *node; (node = list_pop_front(&loop->posts)) != NULL;) {
        list_push_back(&taken, node);
    }
    pthread_mutex_unlock(&loop->post_lock);
    for (ListNode *node; (node = list_pop_front(&taken)) != NULL;) {
        Post post = *CONTAINER_OF(node, Post, node);
        mem_free(CONTAINER_OF(node, Post, node));
        post.fn(post.user);
    }
}

bool posts_init(Loop *loop, Err *err)
{
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) {
        return err_set_errno(err, errno, "making an event loop's wake-up");
    }
    list_init(&loop->posts);
    if (!loop_fd_add(loop, loop->wake_fd, EPOLLIN, posts_run, loop, &loop->wake_watch, err)) {
        close(loop->wake_fd);
        return false;
    }
    pthread_mutex_init(&loop->post_lock, NULL);
    return true;
}

void posts_done(Loop *loop)
{
    loop_fd_remove(loop->wake_watch);
    for (ListNode *node; (node = list_pop_front(&loop->posts)) != NULL;) {
        mem_free(CONTAINER_OF(node, Post, node));
    }
    pthread_mutex_destroy(&loop->post_lock);
    close(loop->wake_fd);
}
