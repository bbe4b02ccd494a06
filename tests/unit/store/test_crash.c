// SPDX-License-Identifier: BSD-3-Clause
// The process or the machine stops, or the disk takes nothing any more, at each call by which the store is made, changed,
// copied, restored or migrated. What is there then is the old or the new, whole: a store and its key or none, objects,
// history, audit, ids and secrets of one revision; and the next culvertd starts.

#include "control/store/store_internal.h"
#include "tests/unit/store/failing.h"
#include "tests/unit/store/old.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

// What is made up is the same in each run of a step.
static bool repeatable;
static unsigned char next_random;

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
	if (!repeatable)
		return syscall(SYS_getrandom, buffer, length, flags);
	for (size_t i = 0; i < length; i++)
		((unsigned char *)buffer)[i] = next_random += 41;
	return (ssize_t)length;
}

static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".key", ".key.new", ".schema-1", ".backup",
	".restore", ".restore-wal", ".key.restore", ".replaced", ".replaced-wal", ".key.replaced"};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static void forget(void)
{
	char name[320];

	for (size_t i = 0; i < ENDS; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	forget_old();
}

// --- the store is made -----------------------------------------------------------------------------------

static void make(void)
{
	struct store_options options = {.path = path};
	struct api_error error = {0};
	struct store *store;

	armed = true;
	_exit(store_open(&store, &options, &error) == 0 ? 0 : 1);
}

static void test_at_each_call(void **state)
{
	static const unsigned int most = 1000;
	unsigned int keys = 0, halves = 0;
	struct stat status;
	int how = KILLED << 8;

	for (last = 1; how == KILLED << 8 && last < most; last++) {
		pid_t pid = fork();
		if (pid == 0)
			make();
		assert_int_equal(waitpid(pid, &how, 0), pid);
		char partial[320];
		snprintf(partial, sizeof(partial), "%s.new", key_path);
		halves += stat(partial, &status) == 0 && status.st_size == 16;
		if (stat(key_path, &status) == 0) {
			assert_int_equal(status.st_size, 32);
			keys++;
		}
		struct store *store = open_store(0);
		struct store_state s = load_store(store);
		assert_string_equal(s.doubt, "");
		commit(store, &s, parse(s.model, base_yaml));
		store_close(store);
		drop(&s);
		forget();
	}
	assert_int_equal(how, 0); // it was made at last
	assert_true(last > 8 && last < most && keys > 1 && halves == 1);
}

// --- the store is changed --------------------------------------------------------------------------------

static struct store *store;
static struct store_state now;
static struct api_error error;

static struct store_options small(void) // what is kept is so little that each step throws something away
{
	return (struct store_options){.path = path, .keep_revisions = 3, .keep_audit = 2};
}

static int enter(void)
{
	struct store_options options = small();
	struct findings findings = {0};

	store = NULL;
	memset(&error, 0, sizeof(error));
	int rc = store_open(&store, &options, &error);
	if (!rc)
		rc = store_load(store, &now, &findings, &error);
	if (rc) {
		store_close(store);
		store = NULL;
	}
	return rc;
}

static int commit_model(struct model *new)
{
	struct store_commit change = {.old = now.model, .new = new, .actor = "uid:0", .verb = "test"};
	struct ids *ids = NULL;

	memset(&error, 0, sizeof(error));
	int rc = store_commit(store, &change, &now.revision, &ids, &error);
	if (rc) {
		model_unref(new);
		return rc;
	}
	drop(&now);
	now.model = new;
	now.ids = ids;
	return 0;
}

static int first(void)
{
	return commit_model(parse(now.model, base_yaml));
}

static int with_password(void)
{
	return commit_model(changed(now.model,
		SET("peering", "acme-ams-01/private", "\"password\":{\"value\":\"s3cret\"}")));
}

static int other_password(void)
{
	return commit_model(changed(now.model,
		SET("peering", "acme-ams-01/private", "\"password\":{\"value\":\"0ther\"}")));
}

static int link_goes(void)
{
	return commit_model(changed(now.model, without_link));
}

static int link_comes(void)
{
	return commit_model(changed(now.model, with_link));
}

static int raised(void)
{
	return commit_model(changed(now.model, SET("circuit", "acme-ams-01", "\"bandwidth\":\"1gbps\"")));
}

// Names go round in a circle, and something else is changed beside.
static int renamed(void)
{
	return commit_model(changed(now.model,
		"[{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"acme-ams-01\",\"to\":\"x\"},"
		"{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"globex-ams-01\",\"to\":\"acme-ams-01\"},"
		"{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"x\",\"to\":\"globex-ams-01\"},"
		"{\"op\":\"delete\",\"noun\":\"link\",\"name\":\"globex-ams-01/secondary\"}]"));
}

static int renamed_back(void)
{
	return commit_model(changed(now.model,
		"[{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"acme-ams-01\",\"to\":\"x\"},"
		"{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"globex-ams-01\",\"to\":\"acme-ams-01\"},"
		"{\"op\":\"rename\",\"noun\":\"circuit\",\"name\":\"x\",\"to\":\"globex-ams-01\"}]"));
}

#define VNETS 130

static int many(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < VNETS; i++)
		fprintf(out,
			"%s{\"op\":\"create\",\"noun\":\"vnet\",\"name\":\"many-%03d\",\"fields\":{"
			"\"customer\":\"acme\",\"prefixes\":[\"10.%d.%d.0/24\"]}}",
			i ? "," : "[", i, i / 200, i % 200);
	fputc(']', out);
	fclose(out);
	struct model *new = changed(now.model, text);
	free(text);
	return commit_model(new);
}

static int many_go(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < VNETS; i++)
		fprintf(out, "%s{\"op\":\"delete\",\"noun\":\"vnet\",\"name\":\"many-%03d\"}",
			i ? "," : "[", i);
	fputc(']', out);
	fclose(out);
	struct model *new = changed(now.model, text);
	free(text);
	return commit_model(new);
}

static int audit(void)
{
	return store_audit(store, "uid:0", NULL, "circuit.set", "circuit acme-ams-01", "refused");
}

static int audit_again(void) // the line waits
{
	struct store_place place;

	store_look(store, &place);
	return place.full ? -EIO : 0;
}

static int finals(void)
{
	json_t *list = json_pack("[{s:i, s:{s:i}}]", "uid", 12345, "counters", "packets", 7);
	int rc = store_finals_put(store, list);

	json_decref(list);
	return rc;
}

static int checkpoint(void)
{
	return vouch_checkpoint(store);
}

static int backup(void)
{
	char name[320];
	json_t *about = NULL;

	snprintf(name, sizeof(name), "%s.backup", path);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = store_backup(store, fd, &about, &error);
	close(fd);
	json_decref(about);
	return rc;
}

static const struct step {
	const char *name;
	int (*run)(void);   // NULL: the store is opened
	int (*again)(void); // when there is room, NULL = run
	bool old;           // before it the store is one of an older version
} steps[] = {
	{.name = "first", .run = first},
	{.name = "password", .run = with_password},
	{.name = "link goes", .run = link_goes},
	{.name = "audit", .run = audit, .again = audit_again},
	{.name = "open"},
	{.name = "finals", .run = finals},
	{.name = "link comes", .run = link_comes},
	{.name = "other password", .run = other_password},
	{.name = "raised", .run = raised},
	{.name = "link goes", .run = link_goes},
	{.name = "link comes", .run = link_comes},
	{.name = "password", .run = with_password},
	{.name = "renamed", .run = renamed},
	{.name = "renamed back", .run = renamed_back},
	{.name = "many", .run = many},
	{.name = "checkpoint", .run = checkpoint},
	{.name = "many go", .run = many_go},
	{.name = "open"},
	{.name = "audit", .run = audit, .again = audit_again},
	{.name = "backup", .run = backup},
	{.name = "migrate", .old = true},
};

// Everything that a commit writes, times and what is sealed apart.
static uint64_t content(void)
{
	static const char *const tables[] = {
		"SELECT noun, name, revision, json FROM objects ORDER BY 1, 2",
		"SELECT revision, actor, verb, digest, objects, again FROM revisions ORDER BY 1",
		"SELECT revision, noun, name, json FROM history ORDER BY 1, 2, 3",
		"SELECT id, actor, verb, object, result, revision, changes FROM audit ORDER BY 1",
		"SELECT class, id, uid, key, released IS NULL FROM ids ORDER BY 1, 2",
		"SELECT fingerprint FROM secrets ORDER BY 1",
		"SELECT uid, class, key, counters FROM finals ORDER BY 1",
		"SELECT fingerprint, revision, noun, name FROM secret_uses ORDER BY 1, 2, 3, 4",
		"SELECT class, id, key FROM released ORDER BY 1, 2",
		"SELECT key, value FROM meta WHERE key LIKE 'host/%' ORDER BY 1",
		"SELECT revision, before, actor, span, decider, decided FROM pending ORDER BY 1",
	};
	uint64_t hash = 14695981039346656037u;
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		sqlite3_stmt *row;
		if (sqlite3_prepare_v2(db, tables[i], -1, &row, NULL))
			fail_msg("%s", sqlite3_errmsg(db));
		while (sqlite3_step(row) == SQLITE_ROW) {
			for (int c = 0; c < sqlite3_column_count(row); c++) {
				const unsigned char *text = sqlite3_column_text(row, c);
				for (; text && *text; text++)
					hash = (hash ^ *text) * 1099511628211u;
				hash = (hash ^ 0x1f) * 1099511628211u;
			}
		}
		sqlite3_finalize(row);
	}
	sqlite3_close(db);
	return hash;
}

// The next culvertd: it starts, doubts nothing, and what it reads is what the newest revision says.
static uint64_t reopened(const char *step, unsigned int point)
{
	if (enter())
		fail_msg("%s, call %u: %s (%s)", step, point, error.message, error.hint);
	if (now.doubt[0] || now.reads_otherwise)
		fail_msg("%s, call %u: %s", step, point, now.doubt[0] ? now.doubt : "reads otherwise");
	store_close(store);
	drop(&now);
	return content();
}

struct answer { // of the process that runs a step
	unsigned int calls;
	int rc;
	bool failed, is_old, done_again;
	char message[512], hint[256];
};
static struct answer *answer; // shared

enum mode { KILL, STOP, FULL, ROOM, READ_ONLY, MODES };

static void run(const struct step *step, enum mode mode, unsigned int point)
{
	repeatable = true;
	next_random = 0;
	loses_late = mode == STOP;
	last = point;
	fails_with = mode == FULL || mode == ROOM ? ENOSPC : mode == READ_ONLY ? EROFS : 0;
	if (step->run && enter())
		_exit(2);
	uint64_t old = step->run ? model_digest(now.model) : 0;
	armed = true;
	answer->rc = step->run ? step->run() : enter();
	answer->calls = calls;
	answer->failed = failed;
	snprintf(answer->message, sizeof(answer->message), "%s", error.message);
	snprintf(answer->hint, sizeof(answer->hint), "%s", error.hint);
	if (mode == READ_ONLY || mode == ROOM) {
		armed = false;
		if (answer->rc && step->run) { // what is live is the old one, and it can be read
			struct store_state read;
			struct findings findings = {0};
			answer->is_old = model_digest(now.model) == old &&
					 store_load(store, &read, &findings, &error) == 0 &&
					 model_digest(read.model) == old;
		}
		next_random = 0;
		if (answer->rc)
			answer->done_again = (step->again ? step->again() : step->run ? step->run() : enter()) == 0;
	} else if (step->run && !answer->failed) {
		lose_late();
	}
	_exit(0);
}

static void copy_whole(const char *from, const char *to)
{
	char buffer[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	unlink(to);
	if (in < 0)
		return;
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	while ((length = read(in, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(out, buffer, (size_t)length), length);
	close(in);
	close(out);
}

// Between the store's place and the one where its files wait.
static void copy_all(bool back)
{
	char here[320], there[340];

	if (back)
		forget_old();
	for (size_t i = 0; i < ENDS; i++) {
		snprintf(here, sizeof(here), "%s%s", path, ends[i]);
		snprintf(there, sizeof(there), "%s.kept%s", path, ends[i]);
		copy_whole(back ? there : here, back ? here : there);
	}
}

static bool killed(const struct step *step, enum mode mode, unsigned int point)
{
	int how;

	memset(answer, 0, sizeof(*answer));
	copy_all(true);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		run(step, mode, point);
	assert_int_equal(waitpid(pid, &how, 0), pid);
	if (how != 0 && how != KILLED << 8)
		fail_msg("%s, mode %d, call %u: ended by 0x%x", step->name, mode, point, how);
	return how != 0;
}

// True: the step came to its end undisturbed.
static bool point(const struct step *step, enum mode mode, unsigned int at, uint64_t before, uint64_t after)
{
	bool dead = killed(step, mode, at), kill = mode == KILL || mode == STOP;
	const struct answer was = *answer;
	uint64_t is = reopened(step->name, at);

	if (is != before && is != after)
		fail_msg("%s, mode %d, call %u: neither the old nor the new state", step->name, mode, at);
	if (kill) {
		if (!dead && (was.rc || is != after))
			fail_msg("%s, mode %d: it was answered, and is not there", step->name, mode);
		return !dead;
	}
	if (was.rc && !was.failed)
		fail_msg("%s, mode %d, call %u: refused without a reason", step->name, mode, at);
	if (was.rc && step->run && !step->again && step->run != finals && step->run != checkpoint &&
		(!was.message[0] || !was.hint[0]))
		fail_msg("%s, mode %d, call %u: \"%s\", hint \"%s\"", step->name, mode, at, was.message, was.hint);
	if (was.rc == 0 && is != after)
		fail_msg("%s, mode %d, call %u: answered, and not there", step->name, mode, at);
	if (was.rc && mode != FULL && step->run && !was.is_old)
		fail_msg("%s, mode %d, call %u: the old model is not live", step->name, mode, at);
	if (was.rc && mode != FULL && (!was.done_again || is != after))
		fail_msg("%s, mode %d, call %u: not done when there was room", step->name, mode, at);
	return !was.failed;
}

// Sanitizers make a process of each point expensive.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static bool long_run(void)
{
	const char *text = getenv("CULVERT_LONG");

	return text && *text == '1';
}

static void test_each_change(void **state)
{
	unsigned int points[MODES] = {0};

	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	store_close(open_store(0));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *step = &steps[i];
		if (step->old) {
			forget();
			old_store();
		}
		copy_all(false);
		uint64_t before = reopened(step->name, 0);
		assert_false(killed(step, KILL, UINT32_MAX));
		unsigned int most = answer->calls;
		uint64_t after = reopened(step->name, UINT32_MAX);
		unsigned int stride = SANITIZED ? 16 : 1;
		for (unsigned int at = 1, ended = 0; ended != (1u << MODES) - 1; at += stride) {
			assert_true(at <= most + MODES * stride);
			for (unsigned int mode = KILL; mode < MODES; mode++) {
				// The disk fails in one way at a call, and in each when there is time.
				if (ended & 1u << mode || (mode >= FULL && at % 3 != mode % 3 && !long_run()))
					continue;
				if (point(step, (enum mode)mode, at, before, after))
					ended |= 1u << mode;
				else
					points[mode]++;
			}
		}
		print_message("%s: %u calls\n", step->name, most);
		assert_false(killed(step, KILL, UINT32_MAX)); // its log of changes is there, too
	}
	print_message("killed %u, stopped %u, full %u and room again %u, read-only %u\n", points[KILL],
		points[STOP], points[FULL], points[ROOM], points[READ_ONLY]);
	if (!SANITIZED)
		assert_true(points[KILL] + points[STOP] >= 1000 &&
			    points[FULL] + points[ROOM] + points[READ_ONLY] >= 500);
}

// Where nothing waits for a disk.
static int crash_setup(void **state)
{
	if (access("/dev/shm", W_OK) != 0)
		return setup(state);
	strcpy(directory, "/dev/shm/culvert-store-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/store.db", directory);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	return 0;
}

static int crash_teardown(void **state)
{
	char name[340];

	forget();
	for (size_t i = 0; i < ENDS; i++) {
		snprintf(name, sizeof(name), "%s.kept%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_at_each_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_change, crash_setup, crash_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
