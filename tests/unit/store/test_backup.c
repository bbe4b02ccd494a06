// SPDX-License-Identifier: BSD-3-Clause
// A backup makes the store again, elsewhere or over another; one that is damaged touches nothing.

#include "tests/unit/store/base.h"

static void restore_fails(const char *file, const char *says, enum api_code code)
{
	const struct store_options options = {.path = path};
	struct api_error error = {0};
	json_t *about = NULL;

	assert_true(store_restore(file, &options, false, &about, &error) < 0);
	if (!strstr(error.message, says))
		fail_msg("\"%s\" does not say \"%s\"", error.message, says);
	assert_int_equal(error.code, code);
	assert_true(error.hint[0] != '\0');
	assert_null(about);
}

// Another byte than is there, whatever that is: keys and digests are random.
static void flip(const char *file, off_t at, unsigned char bits)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	unsigned char byte;

	assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void test_backup(void **state)
{
	struct store *store = open_store(3600);
	struct store_state s = load_store(store);
	char file[160], broken[160], root[320], kept[256];
	struct api_error error = {0};
	json_t *about = NULL;
	struct stat status;

	snprintf(file, sizeof(file), "%s/backup", directory);
	snprintf(broken, sizeof(broken), "%s/broken", directory);
	commit(store, &s, parse(s.model, base_yaml));
	commit(store, &s,
		changed(s.model, SET("peering", "acme-ams-01/private",
					 "\"password\":{\"value\":\"very-s3cret\"}")));
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(store_backup(store, fd, &about, &error), 0);
	close(fd);
	assert_int_equal(json_integer_value(json_object_get(about, "revision")), 2);
	json_decref(about);
	about = NULL;
	assert_int_equal(stat(file, &status), 0);
	struct id before = ids_of(s.ids, ID_VRF, "vnet/acme-prod");

	// refused: one in use, one that is there, and each byte of the file counts
	restore_fails(file, "is in use", API_CONFLICT);
	store_close(store);
	restore_fails(file, "there is a store already", API_REFUSED);
	strcpy(kept, path);
	snprintf(path, sizeof(path), "%s/new/root/store.db", directory);
	for (off_t at = 0; at < status.st_size; at += at < 400 ? 7 : 1501) {
		copy_file(file, broken);
		flip(broken, at, 0xff);
		const struct store_options options = {.path = path};
		assert_true(store_restore(broken, &options, false, &about, &error) < 0);
		assert_true(error.hint[0] != '\0');
	}
	copy_file(file, broken);
	assert_int_equal(truncate(broken, status.st_size - 1), 0);
	restore_fails(broken, "is damaged", API_INVALID);
	assert_int_equal(truncate(broken, 10), 0);
	restore_fails(broken, "is not a backup", API_INVALID);
	copy_file(file, broken);
	flip(broken, 15, '1' ^ '2');
	restore_fails(broken, "was made by another version", API_REFUSED);
	restore_fails(kept, "is not a backup", API_INVALID);
	restore_fails("/nowhere", "cannot read", API_NOT_FOUND);
	assert_true(access(path, F_OK) < 0);

	// into an empty root, where nothing is
	const struct store_options options = {.path = path};
	if (store_restore(file, &options, false, &about, &error) < 0)
		fail_msg("%s", error.message);
	json_decref(about);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	store = open_store(3600);
	struct store_state again = load_store(store);
	assert_string_equal(again.doubt, "");
	assert_true(again.revision == 2 && memcmp(again.uuid, s.uuid, 16) == 0);
	assert_true(model_digest(again.model) == model_digest(s.model));
	assert_string_equal(
		model_peering(again.model, "acme-ams-01/private")->password.text, "very-s3cret");
	assert_true(ids_of(again.ids, ID_VRF, "vnet/acme-prod").uid == before.uid);
	// What the lost one may have given since is not given again.
	commit(store, &again, changed(again.model, without_link));
	commit(store, &again, changed(again.model, with_link));
	assert_true(link_id(&again).uid > before.uid + 100000);
	store_close(store);

	// and over what is there, which stays beside it
	restore_fails(file, "there is a store already", API_REFUSED);
	assert_int_equal(store_restore(file, &options, true, &about, &error), 0);
	json_decref(about);
	doubted("");
	snprintf(root, sizeof(root), "%s/new/root/store.db.replaced", directory);
	assert_int_equal(access(root, F_OK), 0);
	// A second time would take that one away.
	assert_true(store_restore(file, &options, true, &about, &error) == -EPERM);
	assert_non_null(strstr(error.message, root));
	assert_non_null(strstr(error.hint, "move it"));
	assert_int_equal(unlink(root), 0);
	assert_true(store_restore(file, &options, true, &about, &error) < 0); // the key's
	assert_non_null(strstr(error.message, "store.db.key.replaced, which"));
	strcpy(path, kept);
	snprintf(root, sizeof(root), "rm -r %s/new %s/backup %s/broken", directory, directory, directory);
	assert_int_equal(system(root), 0);
	drop(&s);
	drop(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_backup, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
