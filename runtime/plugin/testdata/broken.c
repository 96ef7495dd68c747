/* Plugins that must be refused, one per -DCASE=<number>; see the names in BUILD. */
#include "runtime/plugin/weir_plugin.h"

#define TOO_NEW 1
#define NEWER_ANYWAY 2
#define TOO_OLD 3
#define NULL_NAME 4
#define SMALL_STRUCT 5
#define MISSING_SYMBOL 6
#define NULL_LAYER 7
#define NULL_IR 8
#define OTHER_LAYER 9
#define LAYER_TWICE 10
#define NULL_FILL 11
#define NO_SUCH_VJP 12
#define NULL_ARRAY 13
#define BAD_TASK 14
#define UNDEFINED_SYMBOL 15
#define BAD_VALUES 16
#define BAD_SEGMENTS 17

#define LAYER(name)                                  \
  "weir.layer @" name                                \
  "(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {\n" \
  "  weir.return %x : tensor<?x?x?xf32>\n}\n"

static const WeirLayer a_layer = {sizeof(WeirLayer), "a_layer",
#if CASE == NULL_IR
                                  NULL,
#elif CASE == OTHER_LAYER
                                  LAYER("another"),
#else
                                  LAYER("a_layer"),
#endif
                                  NULL};
#if CASE == LAYER_TWICE
static const WeirLayer* const layers[] = {&a_layer, &a_layer};
#elif CASE == NULL_LAYER
static const WeirLayer* const layers[] = {&a_layer, NULL};
#else
static const WeirLayer* const layers[] = {&a_layer};
#endif

static int32_t kernel(const WeirKernelCall* call) {
  (void)call;
  return 0;
}
static const WeirKernel a_kernel = {sizeof(WeirKernel), "a_kernel", kernel,
#if CASE == NO_SUCH_VJP
                                    "its_gradient",
#else
                                    NULL,
#endif
                                    NULL};
static const WeirKernel* const kernels[] = {&a_kernel};

/* The task breaks what it promises: a token outside the vocabulary, another answer each time, a
 * write behind the buffer, and any option is fine. Nothing of it shows when the plugin is loaded;
 * the conformance test must see it. */
static int32_t create(const char* options, void** user, char* error, size_t error_size) {
  (void)options, (void)error, (void)error_size;
  *user = NULL;
  return 0;
}
static int64_t vocabulary(void* user) { return user == NULL ? 5 : 0; }
static int64_t length(void* user) { return user == NULL ? 3 : 0; }
#if CASE != NULL_FILL
static int32_t fill(void* user, uint64_t seed, uint64_t index, int32_t* tokens, int32_t* targets) {
  static int32_t calls = 0;
  (void)user, (void)seed, (void)index;
  ++calls;
  tokens[0] = 5;
  tokens[1] = calls % 5;
  tokens[2] = 0;
#if CASE == BAD_TASK
  tokens[3] = 0;
#endif
  targets[0] = targets[1] = targets[2] = -2;
  return 0;
}
#else
#define fill NULL
#endif
#if CASE == BAD_SEGMENTS
/* The id of the first document comes back. */
static int32_t fill_packed(void* user, uint64_t seed, uint64_t index, int32_t* tokens,
                           int32_t* targets, int32_t* segments) {
  (void)user;
  tokens[0] = tokens[1] = tokens[2] = (int32_t)((seed + index) % 5);
  targets[0] = targets[1] = targets[2] = -1;
  segments[0] = segments[2] = 7;
  segments[1] = 3;
  return 0;
}
#else
#define fill_packed NULL
#endif
static const WeirTask a_task = {sizeof(WeirTask), "a_task", NULL, NULL, create,
                                vocabulary,       length,   fill, NULL, fill_packed};
static const WeirTask* const tasks[] = {&a_task};

static const WeirPlugin plugin = {
#if CASE == SMALL_STRUCT
    offsetof(WeirPlugin, layers),
#else
    sizeof(WeirPlugin),
#endif
#if CASE == NEWER_ANYWAY
    WEIR_PLUGIN_VERSION + 1,
#elif CASE == TOO_OLD
    WEIR_PLUGIN_VERSION_MIN - 1,
#else
    WEIR_PLUGIN_VERSION,
#endif
#if CASE == NULL_NAME
    NULL,
#else
    "broken",
#endif
    NULL,
    NULL,
    CASE == NULL_ARRAY ? NULL : layers,
    sizeof(layers) / sizeof(layers[0]),
    kernels,
    1,
    tasks,
    1};

#if CASE == MISSING_SYMBOL
#define weir_plugin_query some_other_name
WEIR_PLUGIN_EXPORT const WeirPlugin* some_other_name(uint32_t host_max_version);
#endif
#if CASE == UNDEFINED_SYMBOL
extern int32_t nobody_defines_this(void);
#endif

WEIR_PLUGIN_EXPORT const WeirPlugin* weir_plugin_query(uint32_t host_max_version) {
#if CASE == TOO_NEW
  return host_max_version >= WEIR_PLUGIN_VERSION + 1 ? &plugin : NULL;
#elif CASE == UNDEFINED_SYMBOL
  return nobody_defines_this() == (int32_t)host_max_version ? &plugin : NULL;
#else
  (void)host_max_version;
  return &plugin;
#endif
}
