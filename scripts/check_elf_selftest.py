"""check_elf_selftest - the wrong objects that prove check-elf's assertions. Run by scripts/check-elf --self-test.

A good pair of objects, C and C++, is compiled with flags like the kernel's and must pass. Then, one at a time, the
C++ source or its flags are spoilt, and the assertion named beside it must fire.
"""
import os
import subprocess
import tempfile

KERNEL_FLAGS = ("-O2 -ffreestanding -mno-sse -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie -fno-asynchronous-unwind-tables "
                "-mindirect-branch=thunk-extern -mindirect-branch-register -mfunction-return=thunk-extern "
                "-fcf-protection=branch -fno-jump-tables -fstack-protector-strong -pg -mrecord-mcount -mfentry").split()
CXX_FLAGS = "-std=gnu++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-use-cxa-atexit".split()


def section(name):
    """An empty stand-in for what objtool adds after the compiler."""
    return f'asm(".pushsection {name},\\"a\\"\\n .long 0\\n .popsection");\n'


def site(name, function):
    """An entry, in such a section, that leads to a function."""
    return f'asm(".pushsection {name},\\"a\\"\\n .long {function} - .\\n .popsection");\n'


def objtool(function):
    """What objtool would add for a function with one indirect call and one return."""
    return (section(".orc_unwind") + site(".orc_unwind_ip", function) + site(".return_sites", function)
            + site(".retpoline_sites", function))


def symbol(name, function):
    """A symbol beside a function's, as it stands for the padding in front of it."""
    return f'asm(".set {name}, {function}");\n'


MODINFO = 'static const char info[] __attribute__((section(".modinfo"), used)) = "retpoline=Y";\n'

GOOD_MAIN = objtool("tmem_twice") + MODINFO + """
extern void sink(char *);
int tmem_twice(int (*f)(int), int a) { char b[32]; sink(b); return f(a) * 2; }
"""
GOOD_CORE = objtool("tmem_core") + """
extern "C" void tmem_sink(char *);
extern "C" int tmem_core(int (*f)(int), int a) { char b[32]; tmem_sink(b); return f(a) + 2; }
"""
GOOD_OTHER = ""

GLOBAL_CONSTRUCTOR = "struct G { int x; G(); }; G::G() : x(tmem_core(nullptr, 1)) {} G global;\n"
GLOBAL_DESTRUCTOR = "struct G { int x = 1; ~G(); }; G::~G() { tmem_core(nullptr, x); } G global;\n"
THROWS = "int thrower(int a) { try { tmem_core(nullptr, a); } catch (...) { return 1; } return 0; }\n"
GUARD = 'struct L { int x; }; extern "C" int tmem_value(); int& once() { static L l{tmem_value()}; return l.x; }\n'
SHARED = "inline __attribute__((noinline)) int shared_inline(int a) { return a * 3; }\n" \
         "int use_shared_%s(int a) { return shared_inline(a); }\n"
LONG_NAME = f"int {'very_' * 30}long(int a) {{ return a; }}\n"
TWO_GROUPS = "".join(f'asm(".pushsection .twice,\\"aG\\",@progbits,group{n},comdat\\n .long 0\\n .popsection");\n' for n in (1, 2))
WITHOUT_SITES = 'extern "C" int more(int (*f)(int)) { return f(1) + 1; }\n'
WITHOUT_ORC = GOOD_CORE.replace(section(".orc_unwind"), "").replace(site(".orc_unwind_ip", "tmem_core"), "")
PATCHABLE = "__attribute__((patchable_function_entry(4, 2))) int patched(int a) { return a; }\n"

# assertion, C++ source added, flags dropped, flags added, more: other= (C++ object beside), main= (C source added)
CASES = [
    ("no-section.init_array", GLOBAL_CONSTRUCTOR, "", ""),
    ("no-section.ctors", section(".ctors"), "", ""),
    ("no-section.fini_array", "__attribute__((destructor)) void last() { tmem_core(nullptr, 1); }\n", "", ""),
    ("no-section.dtors", section(".dtors"), "", ""),
    ("no-section.eh_frame", "", "-fno-asynchronous-unwind-tables", "-fasynchronous-unwind-tables"),
    ("no-section.gcc_except_table", THROWS, "-fno-exceptions", "-fexceptions"),
    ("no-section.tm_clone_table", section(".tm_clone_table"), "", ""),
    ("no-c++-imports", THROWS, "-fno-exceptions", "-fexceptions"),
    ("no-c++-imports", GLOBAL_DESTRUCTOR, "-fno-use-cxa-atexit", "-fuse-cxa-atexit"),
    ("no-c++-imports", "struct V { virtual int f(); virtual ~V(); }; V::~V() {} int V::f() { return 1; }\n", "-fno-rtti", "-frtti"),
    ("no-c++-imports", "int missing(); int caller() { return missing(); }\n", "", ""),
    ("no-guard-variables", GUARD, "", ""),
    ("no-guard-variables", GUARD, "-fno-threadsafe-statics", ""),
    ("short-names", LONG_NAME, "", ""),
    # Two C++ objects: -pg is dropped, or ld would refuse the pair by itself.
    ("comdat-elsewhere", SHARED % "a", "-pg", "", {"other": SHARED % "b"}),
    ("core-imports", 'extern "C" int printk(const char *, ...); int p() { return printk("x"); }\n', "", ""),
    ("parity-__mcount_loc", "", "-pg", ""),
    ("parity-__fentry__", "", "-pg", ""),
    ("parity-__patchable_function_entries", PATCHABLE, "", ""),
    ("parity-.return_sites", "", "", "", {"core": GOOD_CORE.replace(site(".return_sites", "tmem_core"), "")}),
    ("parity-.orc_unwind", "", "", "", {"core": WITHOUT_ORC}),
    ("parity-.orc_unwind_ip", "", "", "", {"core": WITHOUT_ORC}),
    ("parity-.call_sites", section(".call_sites"), "", ""),
    ("parity-.ibt_endbr_seal", "", "", "", {"main": section(".ibt_endbr_seal")}),
    ("parity-.kcfi_traps", "", "", "", {"main": section(".kcfi_traps")}),
    ("parity-__x86_return_thunk", "", "-mfunction-return=thunk-extern", ""),
    ("no-naked-return", "", "-mfunction-return=thunk-extern", ""),
    ("parity-__asan_", "int load(int *p) { return *p; }\n", "", "-fsanitize=kernel-address --param=asan-instrumentation-with-call-threshold=0"),
    ("parity-__tsan_func_entry", "", "-fcf-protection=branch", "-fsanitize=thread"),
    ("parity-endbr64", "", "-fcf-protection=branch", "-fcf-protection=none"),
    ("no-indirect-branch", "", "-mindirect-branch=thunk-extern -mindirect-branch-register", ""),
    ("no-user-segment", "", "-mcmodel=kernel", ""),
    ("unique-sections", TWO_GROUPS, "", ""),
    ("linked-parity-.orc_unwind_ip", "", "", "", {"core": WITHOUT_ORC}),
    ("linked-parity-.call_sites", site(".call_sites", "tmem_core"), "", ""),
    ("linked-parity-.ibt_endbr_seal", "", "", "", {"main": site(".ibt_endbr_seal", "tmem_twice")}),
    ("linked-parity-.cfi_sites", "", "", "", {"main": site(".cfi_sites", "tmem_twice")}),
    ("linked-parity-.kcfi_traps", "", "", "", {"main": site(".kcfi_traps", "tmem_twice")}),
    ("linked-sites-.return_sites", WITHOUT_SITES, "", ""),
    ("linked-sites-.retpoline_sites", WITHOUT_SITES, "", ""),
    ("linked-sites-.return_sites", site(".return_sites", "tmem_core"), "", ""),
    ("linked-every-__mcount_loc", "__attribute__((no_instrument_function)) int untraced(int a) { return a; }\n", "", ""),
    ("linked-every-__pfx_", "", "", "", {"main": symbol("__pfx_tmem_twice", "tmem_twice")}),
    ("linked-every-__cfi_", "", "", "", {"main": symbol("__cfi_tmem_twice", "tmem_twice")}),
    ("no-sse", "void add(double *p) { *p += 1; }\n", "-mno-sse", ""),
]


class Bench:
    """Compiles pairs of objects in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def compile(self, name, source, compiler, flags):
        source_path = self.path(name + (".cc" if compiler == "g++" else ".c"))
        with open(source_path, "w", encoding="utf-8") as file:
            file.write(source)
        subprocess.run([compiler, *flags, "-w", "-c", source_path, "-o", self.path(name + ".o")], check=True)

    def build(self, core, main, core_flags, other=None):
        self.compile("core", core, "g++", core_flags)
        self.compile("main", main, "gcc", KERNEL_FLAGS)
        objects = ["core.o", "main.o"]
        if other is not None:
            self.compile("other", other, "g++", core_flags)
            objects.append("other.o")
        objects = [self.path(name) for name in objects]
        subprocess.run(["ld", "-r", "-o", self.path("mod.ko"), *objects], check=True)
        return [self.path("mod.ko"), *objects]


def main(check):
    failures = 0
    proven = set()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        failed, count = check(bench.build(GOOD_CORE, GOOD_MAIN, KERNEL_FLAGS + CXX_FLAGS), False)
        for name, lines in failed.items():
            failures += 1
            print(f"check-elf: self-test: a good module fails {name}: {lines[0]}")
        for name, source, dropped, added, *more in CASES:
            more = more[0] if more else {}
            flags = [f for f in KERNEL_FLAGS + CXX_FLAGS if f not in dropped.split()] + added.split()
            if "-pg" in dropped.split():
                flags = [f for f in flags if f not in ("-mrecord-mcount", "-mfentry")]
            paths = bench.build(more.get("core", GOOD_CORE) + source, GOOD_MAIN + more.get("main", ""), flags, more.get("other"))
            failed, _ = check(paths, False)
            if name in failed:
                proven.add(name)
            else:
                failures += 1
                print(f"check-elf: self-test: {name} did not fire (spoilt by {source.strip() or added or dropped!r:.70})")
        every = all_names(check, bench)
        for name in sorted(every - proven):
            failures += 1
            print(f"check-elf: self-test: no case proves {name}")
    if failures:
        return 1
    print(f"check-elf: self-test ok ({count} assertions, {len(CASES)} wrong objects)")
    return 0


def all_names(check, bench):
    """The names of all assertions: asked of check-elf's generator through its closure."""
    assertions = check.__globals__["assertions"]
    elf = check.__globals__["Elf"]
    paths = bench.build(GOOD_CORE, GOOD_MAIN, KERNEL_FLAGS + CXX_FLAGS)
    return {name for name, _ in assertions(*(elf(path) for path in paths))}
