// SPDX-License-Identifier: BSD-3-Clause
// Configuration files of any bytes: refused with findings or taken, and what was taken is shown as a file that
// is taken again and means the same. As a test it mutilates a good file; with -Dfuzz=true it is a libFuzzer target.

#include "tests/fuzz/mutilate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct model_options options = {.lab = true};
	struct findings findings = {0};
	struct model *empty = model_create(&options), *model = NULL, *again = NULL;

	int rc = model_parse(empty, (const char *)data, size, "fuzz", &model, &findings);
	if (rc ? !findings.count || model : findings.count || !model)
		abort();
	char *text = rc ? findings_text(&findings, "fuzz") : model_yaml(model);
	if (!text || (!rc && model_parse(empty, text, strlen(text), "again", &again, &findings)) ||
		(!rc && model_digest(again) != model_digest(model)))
		abort();
	free(text);
	model_unref(again);
	model_unref(model);
	model_unref(empty);
	return 0;
}

#ifndef FUZZ_ENGINE
int main(int argc, char **argv)
{
	return mutilate_often(argc, argv, base_yaml, LLVMFuzzerTestOneInput);
}
#endif
