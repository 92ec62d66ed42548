/* dataloader/feature_cache.h - rows of floats that a frozen tower has computed, kept on disk.
 *
 * While a tower is frozen and its input is deterministic, what it makes of a sample is the same in
 * every epoch. A cache keeps one row of row_bytes for each (item, view): its feature, its pooled
 * row, or the token activations [T, W] that enter a block. What a row means is the caller's: item
 * is a record, or record * captions + caption; view tells random crops apart.
 *
 *     <base>/<key>/about.json                        what the rows are (format in docs/cache.md)
 *     <base>/<key>/rank-00000-0123456789abcdef.rows  segments: whole files, never written again
 *
 * The key is the caller's hash of all that the rows depend on: frozen weights, preprocessing, dtype
 * and the like. Every rank reads all segments and writes its own. Ranks, nodes and whole runs may
 * share a folder, on a network disk too: no lock crosses processes but the one that tells a
 * temporary file in use from a leftover.
 *
 * A cache is never worth a run. Whatever happens to its files, a row that is given is the row that
 * was put, bit for bit, and everything else is a miss. Once open, nothing here fails. */
#ifndef TH_DATALOADER_FEATURE_CACHE_H
#define TH_DATALOADER_FEATURE_CACHE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_FEATURE_ROW_BYTES ((size_t)256 << 20) // largest row
#define TH_FEATURE_ROW_EXTRA 24                  // bytes that a row takes on disk beside its own

typedef struct {
    char     tower[16]; // "image", "text"
    char     cut[64];   // what a row is: "pooled", "feature", "tokens entering block 10"
    uint64_t row_bytes; // 1 .. TH_FEATURE_ROW_BYTES
    uint64_t pack_hash, weights_hash;
    char     input[64];   // how samples are prepared, "centre"; for people from here on,
    char     kernels[64]; // what computes them: not compared
    char     description[256];
} th_feature_about;

typedef struct {
    const char      *base;         // folder of caches
    uint64_t         key;          // names this cache in it, as th_hash_print prints it
    th_feature_about about;        // texts are UTF-8
    int              rank;         // part of the names of this rank's segments, 0 .. 99999
    int64_t          budget_bytes; // of all files in the folder, whoever wrote them; 0: no limit
    size_t           buffer_bytes; // rows collected for a segment, there are two such buffers;
                                   // 0: 32 MiB. Holds at least one row.
    bool writable;                 // makes the folder when it is not there
} th_feature_cache_options;

typedef struct {
    int64_t rows;     // that can be had: those of all ranks known so far, and the buffered ones
    int64_t segments; // files they are in
    int64_t bytes;    // of those files
    int64_t hits, misses;
    int64_t kept;    // rows that were put, and were not there yet
    int64_t damaged; // rows that could not be read or did not hold, each met once
    int64_t refused; // segments that are not used because they are not whole
    int64_t dropped; // rows that were put and not kept: the disk is slower than the tower
    bool    writing; // false: opened to read, or the disk or the budget is full
} th_feature_cache_report;

typedef struct th_feature_cache th_feature_cache;

/* Opens the cache of that key, or begins it. Reads the keys of all segments (16 bytes a row; in
 * memory a row takes 24 to 48 bytes) and removes temporary files whose writer is gone.
 * Errors: TH_EUSAGE an option is out of range; TH_EDATA about.json is damaged, of another format,
 * or speaks of other rows (what differs is named), or there is none and the cache is not writable;
 * TH_EIO. All of them mean: go on without a cache. */
TH_MUST_CHECK th_code th_feature_cache_open(const th_feature_cache_options *options,
                                            th_feature_cache **out, th_err *err);

/* Writes what is buffered, waits for it, and frees. Accepts NULL. */
void th_feature_cache_close(th_feature_cache *cache);

/* Copies the row to out_row [row_bytes] and returns true; or false, with nothing of use in out_row.
 * A row that does not hold is forgotten, so that it may be put again. Rows that other ranks have
 * published since are looked for at most every 5 seconds, and only when rows were missed.
 * Cost: about 1 us for 3 KB in the page cache. Any thread. */
bool th_feature_cache_get(th_feature_cache *cache, uint64_t item, uint32_t view, void *out_row);

/* Keeps a copy of the row [row_bytes], which get gives from now on, unless there is one already.
 * Never waits for the disk: a thread writes a segment when a buffer is full; when the other one is
 * full by then, the row is dropped. A disk or a budget that is full is logged once as a warning;
 * from then on nothing is kept and reading goes on. One thread at a time, beside any that get. */
void th_feature_cache_put(th_feature_cache *cache, uint64_t item, uint32_t view, const void *row);

/* Has the rows put so far written as a segment, full or not: they outlive a kill once that is
 * done. Returns at once; to be called with every checkpoint. Any thread. */
void th_feature_cache_flush(th_feature_cache *cache);

/* Waits until what was flushed is on disk, or writing is off. Any thread. */
void th_feature_cache_wait(th_feature_cache *cache);

/* Looks for segments of other writers now, and waits for it. Any thread. */
void th_feature_cache_refresh(th_feature_cache *cache);

th_feature_cache_report th_feature_cache_status(th_feature_cache *cache);

// --- the folder of caches ---

typedef struct {
    uint64_t         key;
    th_feature_about about;      // zero when it cannot be read
    char             wrong[256]; // why that is; "" when all is well
    int64_t          rows, segments;
    int64_t          views; // 1 + the largest of any row, 0 when there are no rows
    int64_t          bytes; // of all files in the folder
} th_feature_cache_entry;

/* Lists the caches in a folder by key; free() the list. A folder that is not there has none.
 * Of segments the headers and keys are read. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_feature_cache_list(const char *base, th_feature_cache_entry **out,
                                            int *out_count, th_err *err);

/* Removes a cache: our files in its folder, and the folder. A run that uses it goes on: it misses
 * those rows and stops writing. Errors: TH_EUSAGE there is no such cache; TH_EIO, also when files
 * of somebody else are in the folder, which stay. */
TH_MUST_CHECK th_code th_feature_cache_remove(const char *base, uint64_t key, th_err *err);

#endif
