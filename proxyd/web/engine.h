/* SPDX-License-Identifier: ISC
 *
 * The engine of services that speak HTTP: see web.c. */
#ifndef WEB_ENGINE_H
#define WEB_ENGINE_H

#include "client.h"

extern const struct engine web_engine;

#endif
