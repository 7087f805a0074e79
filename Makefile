# SPDX-License-Identifier: ISC
# One Makefile for everything: it finds its sources itself and builds below build/.
#
#   make [SAN=1]        build/proxyd and build/proxyctl; SAN=1: with ASan and UBSan, in build/san/
#   make check [SAN=1]  all tests, as scripts/check runs them
#   make bench          instructions and system calls a login, a round trip and a MiB take
#   make fuzz           the fuzzers, FUZZ_SECONDS each
#   make install        below $(DESTDIR)$(PREFIX)

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
FUZZ_SECONDS ?= 10
CC = gcc
PACKAGES = libuv openssl libyaml libsodium libcrypt
B := build$(if $(SAN),/san)

CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN = $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer,\
	-D_FORTIFY_SOURCE=2) -fPIE -fstack-protector-strong -fno-strict-aliasing
, := ,
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -Iproxyd $(shell pkg-config --cflags $(PACKAGES)) \
	$(WARN) $(HARDEN) $(CFLAGS) -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -pthread $(if $(SAN),-fsanitize=address$(,)undefined) $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES))

MAINS = proxyd/main.c
SOURCES = $(filter-out $(MAINS),$(wildcard proxyd/*.c proxyd/*/*.c maps/*.c auth/*.c))
OBJECTS = $(SOURCES:%.c=$(B)/%.o)
UNIT = $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))

all: $(B)/proxyd

$(B)/proxyd: $(B)/proxyd/main.o $(B)/libproxyd.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/libproxyd.a: $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libproxyd.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

unit: $(UNIT)
	@for t in $(UNIT); do echo "$$t" && "$$t" || exit 1; done

clean:
	rm -rf build

.PHONY: all unit check bench fuzz install clean
.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
