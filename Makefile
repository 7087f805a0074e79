# SPDX-License-Identifier: ISC
# One Makefile for everything: it finds its sources itself and builds below build/.
#
#   make [SAN=1]        build/proxyd and build/proxyctl; SAN=1: with ASan and UBSan, below build/san/
#   make check [SAN=1]  all tests (scripts/check)
#   make unit talk threads fuzz
#                       the parts of it that need no servers
#   make bench          what a login, a round trip and a MiB take, beside nginx where it is installed
#   make soak           ten minutes of idle sessions, logins, reloads and upgrades
#   make soak-mail      a hundred thousand messages with random faults, and one of a GiB
#   make install        below $(DESTDIR)$(PREFIX)
#   make deb            the Debian package, into build/deb
#   make format         clang-format for all C files

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
FUZZ_SECONDS ?= 5
SYSTEMD ?= $(shell systemctl --version 2>/dev/null | sed -n '1s/systemd \([0-9]*\).*/\1/p')
CC = gcc
FUZZ_CC = clang
PACKAGES = libuv openssl libseccomp yaml-0.1 libsodium libcrypt ldap lber jansson
# llhttp has a package of its own on newer systems; Debian 12 has its C sources in node-llhttp.
ifeq ($(shell pkg-config --exists libllhttp && echo yes),yes)
PACKAGES += libllhttp
else
LLHTTP = /usr/share/llhttp
LLHTTP_INCLUDE = /usr/share/include/llhttp
LLHTTP_OBJECTS = $(addprefix llhttp/,api.o http.o llhttp.o)
endif
B := build$(if $(SAN),/san)
O := $(B)/obj
, := ,

CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-missing-field-initializers -Werror
SANITIZE = -fsanitize=address$(,)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDEN = $(if $(SAN),$(SANITIZE),-D_FORTIFY_SOURCE=2) -fPIE -fstack-protector-strong \
	-fstack-clash-protection -fno-strict-aliasing
INCLUDE = -std=c11 -D_GNU_SOURCE -I. -Iproxyd -Ibuild/pages $(if $(LLHTTP),-isystem $(LLHTTP_INCLUDE)) \
	$(shell pkg-config --cflags $(PACKAGES))
ALL_CFLAGS = $(INCLUDE) $(WARN) $(HARDEN) $(CFLAGS) -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -pthread $(if $(SAN),$(SANITIZE)) $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES))

MAINS = proxyd/main.c proxyd/admin/proxyctl.c
SOURCES = $(filter-out $(MAINS),$(wildcard proxyd/*.c proxyd/*/*.c maps/*.c auth/*.c))
OBJECTS = $(SOURCES:%.c=$(O)/%.o)
UNIT = $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
FUZZ = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
ALL_C = $(shell git ls-files -co --exclude-standard '*.c' '*.h')

all: $(B)/proxyd $(B)/proxyctl $(B)/proxyd.yaml.5

$(B)/proxyd: $(O)/proxyd/main.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/proxyctl: $(O)/proxyd/admin/proxyctl.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/libproxyd.a: $(OBJECTS) $(LLHTTP_OBJECTS:%=$(O)/%)
	@rm -f $@
	@ar qcs $@ $^

$(O)/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) -isystem $(LLHTTP_INCLUDE) -DLLHTTP_STRICT_MODE=1 $(HARDEN) $(CFLAGS) -c -o $@ $<

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Pages that are built in, as C strings.
PAGE = mkdir -p $(@D) && sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $< > $@

build/pages/%.inc: proxyd/web/%
	@$(PAGE)

build/pages/%.inc: proxyd/admin/%
	@$(PAGE)

$(O)/proxyd/admin/status_page.o build/fuzz/proxyd/admin/status_page.o: \
	$(addprefix build/pages/status_page.,css.inc js.inc)

$(O)/proxyd/web/template.o build/fuzz/proxyd/web/template.o: \
	$(addprefix build/pages/login_page.,html.inc css.inc svg.inc)

# The table of options as people read it: the manual, and the files of conf.d behind their first
# comment (`build/options imap`).
$(B)/options: $(O)/scripts/options.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/proxyd.yaml.5: proxyd/proxyd.yaml.5.in $(B)/options
	@$(B)/options manual < $< > $@.new && mv $@.new $@

# ---- tests ----

$(UNIT): %: %.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

unit: all $(UNIT)
	@for t in $(UNIT); do echo "# $$t" && "$$t" || exit 1; done

$(O)/tests/talk/talk: $(O)/tests/talk/talk.o $(O)/tests/talk/mail.o $(O)/tests/talk/script.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

talk: $(O)/tests/talk/talk
	$< tests/talk/*.talk

# What several threads use at once, under ThreadSanitizer: the few sources that it takes.
THREADED = tests/unit/test_limit.c proxyd/limit.c proxyd/limit_table.c proxyd/access.c \
	proxyd/base/addr.c proxyd/base/str.c proxyd/base/mem.c proxyd/base/buf.c auth/sasl.c

build/tsan/test_limit: $(THREADED) $(wildcard proxyd/*.h proxyd/base/*.h)
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(INCLUDE) -g -O1 -fsanitize=thread -o $@ $(THREADED) $(LIBS) -lcmocka -pthread

threads: build/tsan/test_limit
	$<

# The fuzzers need clang, and what they call once more with its instrumentation: what reads bytes.
FUZZED = $(wildcard proxyd/base/*.c proxyd/proto/*.c proxyd/web/*.c maps/*.c) auth/password.c auth/sasl.c \
	proxyd/option.c proxyd/admin/control_request.c

build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(FUZZ_CC) $(INCLUDE) -g -O1 -fsanitize=fuzzer-no-link,address,undefined \
		-fno-sanitize-recover=all -MMD -MP -c -o $@ $<

build/fuzz/libproxyd.a: $(FUZZED:%.c=build/fuzz/%.o) $(LLHTTP_OBJECTS:%=build/fuzz/%)
	@rm -f $@
	@ar qcs $@ $^

build/fuzz/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(FUZZ_CC) -isystem $(LLHTTP_INCLUDE) -DLLHTTP_STRICT_MODE=1 -g -O1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/%: build/fuzz/tests/fuzz/%.o build/fuzz/libproxyd.a
	@echo "  LD $@"
	@$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS) -pthread

fuzz: $(FUZZ)
	@for f in $(FUZZ); do echo "# $$f" && mkdir -p $$f.corpus && \
		$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_final_stats=0 \
		-artifact_prefix=$$f. $$f.corpus tests/talk || exit 1; done

check:
	SAN=$(SAN) scripts/check

$(O)/tests/bench/load: $(O)/tests/bench/load.o
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

$(O)/tests/bench/access_bench: $(O)/tests/bench/access_bench.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(O)/tests/bench/map_bench: $(O)/tests/bench/map_bench.o $(B)/libproxyd.a
	@echo "  LD $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

bench: all $(O)/tests/bench/load $(O)/tests/bench/map_bench $(O)/tests/bench/access_bench
	python3 tests/bench/bench.py --proxyd $(B)/proxyd --load $(O)/tests/bench/load
	$(O)/tests/bench/map_bench
	$(O)/tests/bench/access_bench

# MINUTES=10 SESSIONS=: as many as the limit of open files allows
soak: all $(O)/tests/bench/load
	python3 tests/bench/soak.py --proxyd $(abspath $(B)/proxyd) --load $(O)/tests/bench/load \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SESSIONS),--sessions $(SESSIONS))

soak-mail: all
	MAIL_FAULTS=100000 MAIL_SIZE=1024 PROXYD=$(abspath $(B)/proxyd) \
		python3 tests/e2e/run.py test_mail_faults test_mail.Size

# ---- the rest ----

# Before systemd 253 there was no Type=notify-reload.
OLD_UNIT = $(shell test 0$(SYSTEMD) -lt 253 -a 0$(SYSTEMD) -gt 0 && \
	printf %s '/^Type=/c Type=notify\nExecReload=/bin/kill -HUP $$MAINPID')

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(SYSCONFDIR)/proxyd/conf.d $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(B)/proxyd $(DESTDIR)$(PREFIX)/sbin/proxyd
	install -m 755 $(B)/proxyctl $(DESTDIR)$(PREFIX)/bin/proxyctl
	install -m 644 proxyd/proxyctl.1 $(DESTDIR)$(PREFIX)/share/man/man1/proxyctl.1
	install -m 644 $(B)/proxyd.yaml.5 proxyd/users.map.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 scripts/proxyctl.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/proxyctl
	install -m 644 proxyd/proxyd.8 $(DESTDIR)$(PREFIX)/share/man/man8/proxyd.8
	sed 's|/usr/sbin/proxyd|$(PREFIX)/sbin/proxyd|; s|/etc/proxyd|$(SYSCONFDIR)/proxyd|g; $(OLD_UNIT)' \
		scripts/proxyd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/proxyd.service
	for f in conf.d/*.yaml; do t=$(DESTDIR)$(SYSCONFDIR)/proxyd/$$f; \
		test -e $$t || install -m 644 $$f $$t; done

deb:
	scripts/deb

format:
	clang-format -i $(ALL_C)

clean:
	rm -rf build

.PHONY: all unit talk threads fuzz check bench soak soak-mail format install deb clean
.SECONDARY:
-include $(shell find build -name '*.d' -type f 2>/dev/null)
