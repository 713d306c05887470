// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <stdbool.h>
#include <string.h>

/* Objects and arrays inside each other; a network configuration has about five. */
#define MAX_DEPTH 64

struct cursor {
	const char *at;
	const char *end;
};

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && strchr(" \t\r\n", *c->at) != NULL && *c->at != '\0')
		c->at++;
}

static bool take(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The character after a backslash; -1 for none of JSON's, or for one that is not printable ASCII. */
static int escaped(struct cursor *c)
{
	int code = 0;
	char kind = *c->at++;
	if (kind == '"' || kind == '\\' || kind == '/')
		return kind;
	if (kind != 'u')
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = c->at < c->end ? hex_digit(*c->at++) : -1;
		if (digit < 0)
			return -1;
		code = code * 16 + digit;
	}
	return code >= 0x20 && code < 0x7f ? code : -1;
}

/*
 * Reads a string, whose first quote is next. False where it does not end. `value` may be NULL. `fits` says whether all of
 * it is in `value`.
 */
static bool read_string(struct cursor *c, char *value, size_t size, bool *fits)
{
	size_t used = 0;
	*fits = true;
	if (!take(c, '"'))
		return false;
	while (c->at < c->end) {
		int one = (unsigned char)*c->at++;
		if (one == '"') {
			if (value != NULL)
				value[used < size ? used : size - 1] = '\0';
			return true;
		}
		if (one == '\\') {
			if (c->at == c->end)
				return false;
			one = escaped(c);
		}
		if (one < 0x20) {
			*fits = false;
			continue;
		}
		if (used + 1 >= size)
			*fits = false;
		else if (value != NULL)
			value[used++] = (char)one;
	}
	return false;
}

/* Passes over any value. Numbers and words are not looked at: the agent reads all of it properly. */
static bool skip_value(struct cursor *c)
{
	int depth = 0;
	do {
		bool fits;
		skip_space(c);
		if (c->at == c->end)
			return false;
		if (*c->at == '"') {
			if (!read_string(c, NULL, 0, &fits))
				return false;
		} else if (*c->at == '{' || *c->at == '[') {
			if (++depth > MAX_DEPTH)
				return false;
			c->at++;
		} else if (*c->at == '}' || *c->at == ']') {
			if (depth-- == 0)
				return false;
			c->at++;
		} else if (*c->at == ',' || *c->at == ':') {
			if (depth == 0)
				return false;
			c->at++;
		} else {
			while (c->at < c->end && strchr(" \t\r\n,:{}[]\"", *c->at) == NULL)
				c->at++;
		}
	} while (depth > 0);
	return true;
}

enum json_member json_string_member(const char *text, size_t length, const char *key, char *value,
				    size_t size)
{
	struct cursor c = {text, text + length};
	enum json_member found = JSON_ABSENT;
	if (memchr(text, '\0', length) != NULL || !take(&c, '{'))
		return JSON_MALFORMED;
	if (take(&c, '}'))
		goto end;
	do {
		char name[64];
		bool fits;
		if (!read_string(&c, name, sizeof(name), &fits) || !take(&c, ':'))
			return JSON_MALFORMED;
		bool wanted = fits && strcmp(name, key) == 0;
		skip_space(&c);
		if (wanted && c.at < c.end && *c.at == '"') {
			if (!read_string(&c, value, size, &fits))
				return JSON_MALFORMED;
			found = fits ? JSON_FOUND : JSON_UNUSABLE;
			continue;
		}
		if (!skip_value(&c))
			return JSON_MALFORMED;
		if (wanted)
			found = JSON_UNUSABLE;
	} while (take(&c, ','));
	if (!take(&c, '}'))
		return JSON_MALFORMED;
end:
	skip_space(&c);
	return c.at == c.end ? found : JSON_MALFORMED;
}

void json_write_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
		if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(out, "\\u%04x", *at);
		else
			fputc(*at, out);
	}
	fputc('"', out);
}
