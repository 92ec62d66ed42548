#include "launch/plan_report.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#define SHOWN_CACHES 4 // of a gradual stage there may be dozens

void th_plan_note_add(th_plan_report *report, bool fatal, const char *fix, const char *what, ...)
{
    th_plan_note *note = &report->notes[report->note_count];
    va_list       values;

    if (report->note_count == TH_PLAN_NOTES)
        return;
    report->note_count++;
    note->fatal = fatal;
    (void)snprintf(note->fix, sizeof note->fix, "%s", fix);
    va_start(values, what);
    (void)vsnprintf(note->what, sizeof note->what, what, values);
    va_end(values);
}

// 3152128 as "3.15 M", in a buffer of the caller's.
static const char *count_text(int64_t count, char out[16])
{
    double n = (double)count;

    if (count == 0)
        (void)snprintf(out, 16, "-");
    else if (n < 1e3)
        (void)snprintf(out, 16, "%lld", (long long)count);
    else if (n < 1e6)
        (void)snprintf(out, 16, "%.1f k", n / 1e3);
    else
        (void)snprintf(out, 16, "%.2f M", n / 1e6);
    return out;
}

static const char *bytes_text(double bytes, char out[16])
{
    if (bytes < 1e9)
        (void)snprintf(out, 16, bytes < 1e7 ? "%.2f MB" : "%.0f MB", bytes / 1e6);
    else
        (void)snprintf(out, 16, bytes < 1e10 ? "%.2f GB" : "%.0f GB", bytes / 1e9);
    return out;
}

// "0:42", "1:05:00", "2 d 3:05:00".
static const char *time_text(double seconds, char out[32])
{
    long long s = (long long)(seconds + 0.5), days = s / 86400, hours = s / 3600 % 24;

    if (seconds < 10)
        (void)snprintf(out, 32, "%.1f s", seconds);
    else if (days > 0)
        (void)snprintf(out, 32, "%lld d %lld:%02lld h", days, hours, s / 60 % 60);
    else if (hours > 0)
        (void)snprintf(out, 32, "%lld:%02lld:%02lld", hours, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, 32, "%lld:%02lld", s / 60, s % 60);
    return out;
}

static const char *steps_text(const th_forecast_stage *stage, char out[48])
{
    if (stage->most == 0)
        (void)snprintf(out, 48, "%lld or more", (long long)stage->least);
    else if (stage->least < stage->most)
        (void)snprintf(out, 48, "%lld-%lld", (long long)stage->least, (long long)stage->most);
    else
        (void)snprintf(out, 48, "%lld", (long long)stage->most);
    return out;
}

static int width_of_names(const th_plan_report *report)
{
    int width = (int)strlen("its end");

    for (int i = 0; i < report->forecast->stage_count; i++) {
        const char *name = report->schedule->stages[report->forecast->stages[i].index].own.name;
        width = (int)strlen(name) > width ? (int)strlen(name) : width;
    }
    return width < 40 ? width : 40;
}

// What trains, memory, traffic and step of one phase; the rest of its line.
static void print_phase(const th_plan_report *report, const th_phase *phase, FILE *to)
{
    char image[16], text[16];

    fprintf(to, "  %13s  %9s  %9.1f  %9.1f", count_text(phase->trains[TH_IMAGE], image),
            count_text(phase->trains[TH_TEXT_TOWER], text), (double)th_phase_bytes(phase) / 1048576,
            (double)th_traffic_bytes(&phase->traffic) / 1e6);
    if (report->probed && phase->warm_s != phase->cold_s)
        fprintf(to, "  %6.3f, later %.3f", phase->cold_s, phase->warm_s);
    else if (report->probed)
        fprintf(to, "  %6.3f", phase->cold_s);
}

static void print_stages(const th_plan_report *report, FILE *to)
{
    const th_forecast *f = report->forecast;
    int                width = width_of_names(report);
    char               steps[48], begins[32], seconds[32];

    fprintf(to, "%-*s  %8s  %12s  %6s  %13s  %9s  %9s  %9s%s\n", width, "stage", "begins", "steps",
            "batch", "trains: image", "text", "MiB", "MB sent", report->probed ? "  s/step" : "");
    for (int i = 0; i < f->stage_count; i++) {
        const th_forecast_stage *stage = &f->stages[i];
        const th_stage          *own = &report->schedule->stages[stage->index];
        const th_phase          *last = &stage->phases[stage->phase_count - 1];
        (void)snprintf(begins, sizeof begins, "%lld", (long long)stage->begins);
        fprintf(to, "%-*.40s  %8s  %12s  %6lld", width, own->own.name,
                stage->done > 0 ? "begun" : begins, steps_text(stage, steps),
                (long long)own->options.batch);
        print_phase(report, &stage->phases[0], to);
        if (report->probed) {
            double s = th_forecast_seconds(f, report->schedule, stage,
                                           stage->most ? stage->most : stage->least);
            fprintf(to, "   %s", time_text(s, seconds));
        }
        fputc('\n', to);
        if (stage->phase_count == 1)
            continue;
        fprintf(to, "%*s  %8lld  %12s  %6s", width, "its end",
                (long long)(stage->begins + last->step - stage->done), "", "");
        print_phase(report, last, to);
        fputc('\n', to);
    }
}

// A column a stage, its last phase: the kinds of memory, of the rank that has most.
static void print_memory(const th_plan_report *report, FILE *to)
{
    const th_forecast *f = report->forecast;
    char               name[13];

    fprintf(to, "\nmemory of rank 0, MiB  ");
    for (int i = 0; i < f->stage_count; i++) {
        (void)snprintf(name, sizeof name, "%s",
                       report->schedule->stages[f->stages[i].index].own.name);
        fprintf(to, " %12s", name);
    }
    fputc('\n', to);
    for (int kind = 0; kind <= TH_MEMORY_KINDS; kind++) {
        fprintf(to, "  %-21s", kind < TH_MEMORY_KINDS ? th_memory_names[kind] : "in all");
        for (int i = 0; i < f->stage_count; i++) {
            const th_phase *phase = &f->stages[i].phases[f->stages[i].phase_count - 1];
            size_t bytes = kind < TH_MEMORY_KINDS ? phase->memory[kind] : th_phase_bytes(phase);
            fprintf(to, " %12.1f", (double)bytes / 1048576);
        }
        fputc('\n', to);
    }
}

static void print_disk(const th_plan_report *report, FILE *to)
{
    const th_forecast *f = report->forecast;
    char               one[16], all[16], room[16];

    fprintf(to, "\ncheckpoints    %lld x %s = %s", (long long)report->checkpoints,
            bytes_text((double)report->checkpoint_bytes, one),
            bytes_text((double)report->checkpoint_bytes * (double)report->checkpoints, all));
    fprintf(to, "; %s free\n", bytes_text((double)report->run_free, room));
    for (int i = 0; i < f->cache_count && i < SHOWN_CACHES; i++) {
        const th_forecast_cache *cache = &f->caches[i];
        int64_t                  rows = th_forecast_cache_rows(f, cache);
        fprintf(to, "feature cache  %s tower: %lld rows x %lld bytes%s\n",
                cache->tower == TH_IMAGE ? "image" : "text", (long long)rows,
                (long long)cache->row_bytes,
                cache->kept < 1 ? ", of which cache.budget keeps a part" : "");
    }
    if (f->cache_count > SHOWN_CACHES)
        fprintf(to, "               and %d more, one for each group that thaws\n",
                f->cache_count - SHOWN_CACHES);
    if (f->cache_count > 0)
        fprintf(to, "               %s in all; %s free\n",
                bytes_text((double)report->cache_bytes, all),
                bytes_text((double)report->cache_free, room));
    fprintf(to, "maps           %s of packs, which are not in memory as a whole\n",
            bytes_text((double)f->map_bytes, all));
}

static void print_time(const th_plan_report *report, FILE *to)
{
    char      seconds[32], date[32], evaluation[32];
    time_t    finish = (time_t)(report->now + report->seconds);
    struct tm local;

    if (!report->probed)
        return;
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&finish, &local));
    fprintf(to, "time           %s%s, until %s; an evaluation takes %s\n",
            report->open_ended ? "at least " : "", time_text(report->seconds, seconds), date,
            time_text(report->forecast->evaluation_s, evaluation));
}

void th_plan_print(const th_plan_report *report, FILE *to)
{
    const th_forecast *f = report->forecast;
    char               count[16];

    fprintf(to,
            "%s: %s parameters, %lld records, captions of %.1f tokens, %d rank%s x %d threads\n",
            report->run_file, count_text(f->parameters.elements, count), (long long)f->records,
            f->tokens, report->ranks, report->ranks == 1 ? "" : "s", report->threads);
    if (f->stage_count == 0) {
        fprintf(to, "run \"%s\" is complete, at step %lld\n", report->folder, (long long)f->step);
        return;
    }
    if (report->begun)
        fprintf(to, "run \"%s\" stands in stage %d of %d, at step %lld: this is what is left\n",
                report->folder, f->stages[0].index + 1, report->schedule->stage_count,
                (long long)f->step);
    else
        fprintf(to, "run \"%s\" has not begun\n", report->folder);
    fputc('\n', to);
    print_stages(report, to);
    print_memory(report, to);
    print_disk(report, to);
    print_time(report, to);
    for (int i = 0; i < report->note_count; i++)
        fprintf(to, "\n%s: %s\n  fix: %s\n", report->notes[i].fatal ? "cannot run" : "warning",
                report->notes[i].what, report->notes[i].fix);
}
