import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findBreaches, type Source } from './walls.ts';

const at = (path: string, text: string): Source => ({ path, text });

const cases: { name: string; sources: Source[]; expect: RegExp | null }[] = [
  {
    name: 'a capability room may use ports',
    sources: [at('packages/agent/src/guests/x.ts', "import type { A } from '../ports/a.ts';\n")],
    expect: null,
  },
  {
    name: 'a capability room may not reach an adapter',
    sources: [at('packages/agent/src/guests/x.ts', "import { a } from '../adapters/a.ts';\n")],
    expect: /guests must not import adapters/,
  },
  {
    name: 'the kernel knows nobody',
    sources: [at('packages/agent/src/kernel/x.ts', "import type { A } from '../ports/a.ts';\n")],
    expect: /kernel must not import ports/,
  },
  {
    name: 'a room nobody declared',
    sources: [at('packages/agent/src/newroom/x.ts', "import { a } from '../kernel/a.ts';\n")],
    expect: /room newroom has no arrows/,
  },
  {
    name: 'the hub cannot import the operator CLI, where signing lives',
    sources: [at('packages/hub/src/x.ts', "import { sign } from '@felhom/cli';\n")],
    expect: /hub must not import @felhom\/cli/,
  },
  {
    name: 'nothing that ships imports the lab',
    sources: [at('packages/agent/src/main.ts', "import { world } from '@felhom/lab';\n")],
    expect: /agent must not import @felhom\/lab/,
  },
  {
    name: 'deep imports go through the door',
    sources: [at('packages/agent/src/main.ts', "import { x } from '@felhom/protocol/src/ids.ts';\n")],
    expect: /deep import/,
  },
  {
    name: 'fixtures are for tests',
    sources: [at('packages/hub/src/main.ts', "import { x } from '@felhom/protocol/report.fixture';\n")],
    expect: /deep import/,
  },
  {
    name: 'a test may have the fixtures of another package',
    sources: [at('packages/hub/src/x.test.ts', "import { x } from '@felhom/protocol/report.fixture';\n")],
    expect: null,
  },
  {
    name: 'a relative path does not leave its package',
    sources: [at('packages/hub/src/x.ts', "import { x } from '../../cli/src/x.ts';\n")],
    expect: /out of its package/,
  },
  {
    name: 'a cycle of values',
    sources: [
      at('packages/hub/src/a.ts', "import { b } from './b.ts';\n"),
      at('packages/hub/src/b.ts', "import {\n  a,\n} from './a.ts';\n"),
    ],
    expect: /import cycle/,
  },
  {
    name: 'a cycle of types alone is no cycle',
    sources: [
      at('packages/hub/src/a.ts', "import type { B } from './b.ts';\n"),
      at('packages/hub/src/b.ts', "import { a } from './a.ts';\n"),
    ],
    expect: null,
  },
  {
    name: 'a long file',
    sources: [at('packages/hub/src/a.ts', 'x;\n'.repeat(501))],
    expect: /has 501 lines/,
  },
  {
    name: 'the real clock inside a decision',
    sources: [at('packages/agent/src/reconcile/plan.ts', 'const now = Date.now();\n')],
    expect: /real clock/,
  },
  {
    name: 'the real clock inside an adapter',
    sources: [at('packages/agent/src/adapters/system-clock/index.ts', 'const now = Date.now();\n')],
    expect: null,
  },
];

for (const { name, sources, expect } of cases)
  test(`walls: ${name}`, () => {
    const breaches = findBreaches(sources);
    if (expect === null) assert.deepEqual(breaches, []);
    else assert.match(breaches.map((b) => `${b.path}: ${b.text}`).join('\n'), expect);
  });
