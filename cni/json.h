// SPDX-License-Identifier: Apache-2.0
/* As much of JSON (RFC 8259) as the plugin needs: one member of the outermost object, and text as a string. */
#ifndef CUBEPLANE_CNI_JSON_H
#define CUBEPLANE_CNI_JSON_H

#include <stddef.h>
#include <stdio.h>

enum json_member {
	JSON_MALFORMED = -1, /* the text is no JSON object */
	JSON_ABSENT = 0,
	JSON_FOUND = 1,
	JSON_UNUSABLE =
	    2, /* there, but no string, or one that does not fit, or with control characters in it */
};

/*
 * Finds the string member `key` of the outermost object in `text` and puts it, unescaped and ended by NUL, into `value`.
 * Members of objects further inside do not count. Of several with the same key the last one counts.
 */
enum json_member json_string_member(const char *text, size_t length, const char *key, char *value,
				    size_t size);

/* Writes `text` as a JSON string, quotes included. Bytes above 0x7f pass as they are. */
void json_write_string(FILE *out, const char *text);

#endif
