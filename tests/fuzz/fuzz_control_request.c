/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the orders on the control socket: what was understood is understood as the
 * same when it is written again, and what was not has its reason. */
#include "admin/control_request.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request first, second;
    char error[CONTROL_ERROR] = "";
    if (size > CONTROL_LINE_MAX)
        return 0;
    if (!control_request_read(&first, (struct str){(const char *)data, size}, error)) {
        assert(error[0]);
        return 0;
    }
    char *line = control_request_write(&first);
    assert(line && control_request_read(&second, str_of(line), error));
    assert(memcmp(&first, &second, sizeof first) == 0);
    free(line);
    return 0;
}
