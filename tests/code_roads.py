"""Ways in which a job's code reaches what decides its result.

Each is a few files; the last, script.py, defines `job`. The fingerprint of a job of `NOTICED`
changes with VALUE, that of `NOT_NOTICED` does not, as the docstring of `fingerprint` says.
"""

NOTICED = {
    "functools.cache": """
        # script.py
        @functools.cache
        def rule(x): return VALUE
        def job(x): return rule(x)
        """,
    "functools.lru_cache as the controller": """
        # script.py
        @functools.lru_cache(maxsize=3)
        def job(x): return VALUE
        """,
    "a cache around a cache": """
        # script.py
        def rule(x): return VALUE
        job = functools.cache(functools.lru_cache(rule))
        """,
    "a cached method": """
        # script.py
        class Rule:
            @functools.cache
            def __call__(self, x): return VALUE
        job = Rule()
        """,
    "a cached property": """
        # script.py
        class Rule:
            @functools.cached_property
            def gain(self): return VALUE
        job = Rule()
        """,
    "a function bound to an object": """
        # script.py
        import types
        def rule(x): return VALUE
        job = types.MethodType(rule, [1])
        """,
    "a cache inside partial": """
        # script.py
        def rule(x): return VALUE
        job = functools.partial(functools.cache(rule), 1)
        """,
    "partialmethod": """
        # script.py
        def rule(x): return VALUE
        class Rule:
            method = functools.partialmethod(rule)
        job = Rule()
        """,
    "functools.wraps": """
        # script.py
        def rule(x): return VALUE
        @functools.wraps(rule)
        def job(x): return job.__wrapped__(x)
        """,
    "the first function of singledispatch": """
        # script.py
        @functools.singledispatch
        def rule(x): return VALUE
        def job(x): return rule(x)
        """,
    "another function of singledispatch": """
        # script.py
        @functools.singledispatch
        def job(x): return 0
        @job.register
        def _(x: int): return VALUE
        """,
    "singledispatchmethod": """
        # script.py
        class Rule:
            @functools.singledispatchmethod
            def rule(self, x): return 0
            @rule.register
            def _(self, x: int): return VALUE
        job = Rule()
        """,
    "a cached function of a module": """
        # mod.py
        import functools
        @functools.cache
        def rule(x): return VALUE
        # script.py
        from mod import rule
        def job(x): return rule(x)
        """,
    "import in a function": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x):
            import mod
            return mod.rule(x)
        """,
    "from mod import rule in a method of an inner class": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x):
            class Inner:
                def rule(self):
                    from mod import rule as another
                    return another(x)
            return Inner().rule()
        """,
    "from pkg import sub in a function": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        def job(x):
            from pkg import sub as another
            return another.rule(x)
        """,
    "import pkg.sub in a function": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        def job(x):
            import pkg.sub as another
            return another.rule(x)
        """,
    "a relative import in a function": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # pkg/top.py
        def job(x):
            from . import sub
            return sub.rule(x)
        # script.py
        from pkg.top import job
        """,
    "a relative import, two levels up": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # pkg/inner/__init__.py
        # pkg/inner/top.py
        def job(x):
            from ..sub import rule
            return rule(x)
        # script.py
        from pkg.inner.top import job
        """,
    "importlib.import_module": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x): return importlib.import_module('mod').rule(x)
        """,
    "importlib.import_module under another name": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        from importlib import import_module as load
        def job(x): return load('pkg.sub').rule(x)
        """,
    "importlib.import_module, relative": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # pkg/top.py
        import importlib
        def job(x): return importlib.import_module('.sub', __package__).rule(x)
        # script.py
        from pkg.top import job
        """,
    "__import__": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x): return __import__('mod').rule(x)
        """,
    "importlib.import_module in a module": """
        # deep.py
        def rule(x): return VALUE
        # mod.py
        import importlib
        def rule(x): return importlib.import_module('deep').rule(x)
        # script.py
        import mod
        def job(x): return mod.rule(x)
        """,
    "pkg.sub.rule": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        import pkg.sub
        def job(x): return pkg.sub.rule(x)
        """,
    "pkg.sub.deep.rule of a package kept in a default": """
        # pkg/__init__.py
        # pkg/sub/__init__.py
        # pkg/sub/deep.py
        def rule(x): return VALUE
        # script.py
        import pkg.sub.deep
        job = lambda x, known=pkg: known.sub.deep.rule(x)
        """,
    "getattr(pkg, 'sub')": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        import pkg.sub
        def job(x): return getattr(pkg, 'sub').rule(x)
        """,
    "pkg.sub by way of another module": """
        # pkg/__init__.py
        # pkg/sub.py
        def rule(x): return VALUE
        # mod.py
        import pkg.sub as _
        import pkg
        def rule(x): return pkg.sub.rule(x)
        # script.py
        import mod
        def job(x): return mod.rule(x)
        """,
    "a star and __all__": """
        # pkg/__init__.py
        __all__ = ['sub']
        # pkg/sub.py
        def rule(x): return VALUE
        # mod.py
        from pkg import *
        def rule(x): return sub.rule(x)
        # script.py
        import mod
        def job(x): return mod.rule(x)
        """,
    "a package that imports its modules late": """
        # pkg/__init__.py
        import importlib
        def __getattr__(name): return importlib.import_module('.' + name, __name__)
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        import pkg
        def job(x): return pkg.sub.rule(x)
        """,
    "a folder without __init__.py": """
        # folder/sub.py
        def rule(x): return VALUE
        # script.py
        import folder.sub
        def job(x): return folder.sub.rule(x)
        """,
    "a folder without __init__.py, in a function": """
        # folder/inner/sub.py
        def rule(x): return VALUE
        # script.py
        def job(x):
            from folder.inner import sub
            return sub.rule(x)
        """,
    "a module that only other modules import": """
        # deep.py
        def rule(x): return VALUE
        # middle.py
        import deep
        # mod.py
        def rule(x):
            from middle import deep
            return deep.rule(x)
        # script.py
        import mod
        def job(x): return mod.rule(x)
        """,
    "relative imports in a package": """
        # pkg/__init__.py
        from .top import rule as another
        # pkg/top.py
        from .sub import *
        # pkg/sub.py
        def rule(x): return VALUE
        # script.py
        import pkg
        def job(x): return pkg.another(x)
        """,
    "a module made by hand": """
        # script.py
        import types
        made = types.ModuleType('made')
        made.gain = VALUE
        def job(x): return made.gain
        """,
    "a method of a metaclass": """
        # script.py
        class Meta(type):
            def rule(cls): return VALUE
        class Rule(metaclass=Meta): pass
        def job(x): return Rule.rule()
        """,
    "the class of an object that is pickled by name": """
        # script.py
        class Rule:
            def __call__(self, x): return VALUE
            def __reduce__(self): return 'job'
        job = Rule()
        """,
    "the data of an object that is pickled by name": """
        # script.py
        class Rule:
            __slots__ = ('gain',)
            def __reduce__(self): return 'job'
        job = Rule()
        job.gain = VALUE
        """,
    "the class of an object that is pickled by a call": """
        # script.py
        class Rule:
            def __call__(self, x): return VALUE
            def __reduce__(self): return abs, (1,)
        job = Rule()
        """,
    "the state setter of an object": """
        # script.py
        def set_state(rule, state): rule.gain = VALUE
        class Rule:
            def __reduce__(self): return object, (), {}, None, None, set_state
        job = Rule()
        """,
    "two lists, or one twice": """
        # script.py
        one = []
        job = [one, [one, []][VALUE - 1]]
        """,
    "two arrays, or one twice": """
        # script.py
        import numpy
        one = numpy.zeros(2)
        job = [one, [one, one.copy()][VALUE - 1]]
        """,
    "a set of functions that read the set": """
        # script.py
        known = set()
        def rule(x): return VALUE
        def job(x): return len(known)
        known.update([rule, job])
        """,
    "a mapping that cannot be written to": """
        # script.py
        import types
        table = types.MappingProxyType({'gain': VALUE})
        def job(x): return table['gain']
        """,
    "the annotations of a class": """
        # script.py
        class Rule:
            gain: 'range(VALUE)'
        def job(x): return Rule.__annotations__
        """,
    "the annotations of a function": """
        # script.py
        def job(x: 'range(VALUE)'): return job.__annotations__
        """,
    "the docstring of a class": """
        # script.py
        class Rule:
            'gain VALUE'
        def job(x): return Rule.__doc__
        """,
    "a docstring set later": """
        # script.py
        def job(x): return job.__doc__
        job.__doc__ = 'gain VALUE'
        """,
    "the metadata of a dataclass": """
        # script.py
        import dataclasses
        @dataclasses.dataclass
        class Rule:
            gain: float = dataclasses.field(default=1.0, metadata={'limit': VALUE})
        job = Rule()
        """,
    "the order of a match": """
        # script.py
        class Rule:
            __match_args__ = ('gainVALUE',)
        job = Rule()
        """,
    "an integer of 5000 digits": """
        # script.py
        job = 10**5000 + VALUE
        """,
    "a set of one's own kind": """
        # script.py
        class Names(set): pass
        job = Names(['a', 'b', 'c', 'VALUE'])
        """,
}
NOT_NOTICED = {
    "a file that is read": """
        # gain.txt
        VALUE
        # script.py
        def job(x): return open('gain.txt').read()
        """,
    "an environment variable": """
        # script.py
        import os
        os.environ['GAIN'] = 'VALUE'
        def job(x): return os.environ['GAIN']
        """,
    "a module whose name is computed": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x): return importlib.import_module(''.join(['m', 'od'])).rule(x)
        """,
    "a function whose name is computed": """
        # script.py
        def rule(x): return VALUE
        def job(x): return globals()[''.join(['ru', 'le'])](x)
        """,
    "what exec is given": """
        # mod.py
        def rule(x): return VALUE
        # script.py
        def job(x): return exec('import mod; mod.rule(1)')
        """,
    "what eval is given": """
        # script.py
        def rule(x): return VALUE
        def job(x): return eval('rule(1)')
        """,
    "installed code that is patched": """
        # script.py
        def rule(x): return VALUE
        import json
        json.dumps = rule
        def job(x): return json.dumps(x)
        """,
    "a module edited after its import": """
        # mod.py
        def rule(x): return 0
        # script.py
        from mod import rule as job
        open('mod.py', 'w').write('def rule(x): return VALUE')
        """,
    "the order of a class's members": """
        # script.py
        class Rule: pass
        for name in ['ab', 'ba'][VALUE - 1]:
            setattr(Rule, name, 0)
        def job(x): return list(vars(Rule))
        """,
}
