/* SPDX-License-Identifier: ISC
 *
 * yaml_tree: places, what is not set, merging, and what is refused. */
#include "yaml_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct yaml_node *parse(const char *text)
{
    struct problems problems = {0};
    struct yaml_node *node = yaml_tree_parse("f", str_of(text), &problems);
    assert_int_equal(problems.count, 0);
    return node;
}

/* The first problem of TEXT, which has COUNT. */
static char *problem(const char *text, size_t count)
{
    struct problems problems = {0};
    yaml_tree_free(yaml_tree_parse("f", str_of(text), &problems));
    assert_int_equal(problems.count, count);
    char *first = problem_text(&problems.list[0]);
    problems_free(&problems);
    return first;
}

static void assert_problem(const char *text, const char *expected)
{
    char *first = problem(text, 1);
    assert_string_equal(first, expected);
    free(first);
}

static void assert_place(struct place place, unsigned line, unsigned column)
{
    assert_string_equal(place.file, "f");
    assert_int_equal(place.line, line);
    assert_int_equal(place.column, column);
}

static void tells_places(void **state)
{
    (void)state;
    struct yaml_node *root = parse("a:\n  b: [x, 'y']\n");
    const struct yaml_node *b = yaml_tree_get(yaml_tree_get(root, "a"), "b");
    assert_place(b->place, 2, 3);
    assert_place(b->value, 2, 6);
    assert_int_equal(b->kind, YAML_TREE_LIST);
    assert_string_equal(b->first->next->text, "y");
    assert_place(b->first->next->place, 2, 10);
    yaml_tree_free(root);
}

static void only_plain_nulls_are_not_set(void **state)
{
    (void)state;
    struct yaml_node *root =
        parse("a: ~\nb:\nc: null\nd: '~'\ne: ''\nf: no\ng: {}\nh: {i: {j: ~}}\n");
    for (const struct yaml_node *n = root->first; n; n = n->next)
        assert_int_equal(yaml_tree_is_unset(n), strchr("abch", n->key[0]) != NULL);
    yaml_tree_prune(root);
    assert_string_equal(root->first->key, "d");
    assert_null(yaml_tree_get(root, "h"));
    yaml_tree_free(root);
}

static void merges_mappings_key_by_key(void **state)
{
    (void)state;
    struct yaml_node *into = parse("a: {x: 1, y: [1, 2]}\nb: {z: 3}\nc: 4\n");
    yaml_tree_merge(into, parse("a: {y: [5], w: 6}\nb: ~\nc: ~\nd: 7\n"));
    const struct yaml_node *a = yaml_tree_get(into, "a");
    assert_string_equal(yaml_tree_get(a, "x")->text, "1");
    assert_string_equal(yaml_tree_get(a, "y")->first->text, "5");
    assert_null(yaml_tree_get(a, "y")->first->next);
    assert_string_equal(yaml_tree_get(a, "w")->text, "6");
    assert_string_equal(yaml_tree_get(yaml_tree_get(into, "b"), "z")->text, "3");
    assert_int_equal(yaml_tree_get(into, "c")->kind, YAML_TREE_NULL);
    assert_string_equal(yaml_tree_get(into, "d")->text, "7");
    yaml_tree_free(into);
}

static void set_replaces(void **state)
{
    (void)state;
    struct yaml_node *root = parse("a: 1\nb: 2\n");
    yaml_tree_set(root, "a", yaml_tree_new(YAML_TREE_SCALAR, "3"));
    struct yaml_node *copy = yaml_tree_clone(root);
    yaml_tree_free(root);
    assert_string_equal(yaml_tree_get(copy, "a")->text, "3");
    assert_string_equal(yaml_tree_get(copy, "b")->text, "2");
    assert_null(copy->first->next->next);
    yaml_tree_free(copy);
}

static void copies_aliases(void **state)
{
    (void)state;
    struct yaml_node *root = parse("a: &x {k: 1}\nb: *x\n");
    assert_string_equal(yaml_tree_get(yaml_tree_get(root, "b"), "k")->text, "1");
    yaml_tree_free(root);
}

static void nothing_is_null(void **state)
{
    (void)state;
    assert_null(parse(""));
    assert_null(parse("# only this\n"));
}

static void refuses(void **state)
{
    (void)state;
    assert_problem("a: 1\nb: 2\n a: 3\n",
                   "f:3:3: error: this is no YAML: mapping values are not allowed in this context");
    assert_problem("a: 1\nb: 2\na: 3\n",
                   "f:3:1: error: 'a' stands here twice: first on line 1, and on line 3");
    assert_problem("a: 1\n---\nb: 2\n",
                   "f:3:1: error: a second document: put it into a file of its own");
    assert_problem("[a]: 1\n", "f:1:1: error: a key must be a word");
    assert_problem("a: \"x\\0y\"\n", "f:1:4: error: a text with a NUL byte in it");
    assert_problem("a: &x [*x]\n",
                   "f:1:4: error: too much, or too deep: at most 200000 values, 32 levels");
}

/* Ten levels of ten aliases each: ten thousand million scalars. */
static void is_no_bomb(void **state)
{
    (void)state;
    char text[2000] = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n", *first;
    for (int i = 1; i < 10; i++) {
        char *at = text + strlen(text);
        at += sprintf(at, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            at += sprintf(at, "%s*a%d", k ? "," : "", i - 1);
        sprintf(at, "]\n");
    }
    first = problem(text, 1);
    assert_non_null(strstr(first, "too much"));
    free(first);
}

/* Whatever stands there, nothing is lost or read beyond: for the sanitizers. */
static void survives_cuts(void **state)
{
    (void)state;
    static const char text[] =
        "a: {b: [1, \"x\\u00e9\"], c: &q |\n  text\n  more\n}\nd: *q\n? e\n: f\n";
    for (size_t n = 0; n < sizeof text; n++) {
        struct problems problems = {0};
        yaml_tree_free(yaml_tree_parse("f", (struct str){text, n}, &problems));
        problems_free(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_places),
        cmocka_unit_test(only_plain_nulls_are_not_set),
        cmocka_unit_test(merges_mappings_key_by_key),
        cmocka_unit_test(set_replaces),
        cmocka_unit_test(copies_aliases),
        cmocka_unit_test(nothing_is_null),
        cmocka_unit_test(refuses),
        cmocka_unit_test(is_no_bomb),
        cmocka_unit_test(survives_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
