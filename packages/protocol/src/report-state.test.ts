import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyReport } from './report.fixture.ts';
import { digestOfReport, matterOfReport, reportAsOf, stateOfReport } from './report-state.ts';
import { report } from './report.ts';
import type { Report } from './report.ts';

/** What of a schema this test needs to see, whatever kind it is. */
interface Schema {
  readonly def: {
    readonly type: string;
    readonly shape?: Readonly<Record<string, Schema>>;
    readonly element?: Schema;
    readonly innerType?: Schema;
    readonly options?: readonly Schema[];
    readonly entries?: Readonly<Record<string, unknown>>;
    readonly values?: readonly unknown[];
    readonly valueType?: Schema;
    readonly keyType?: Schema;
  };
  safeParse(raw: unknown): { success: boolean };
}

interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Texts and numbers that some field of the report takes; two of them are tried for every field. */
const candidates: readonly unknown[] = [
  'aa',
  'bb',
  'a'.repeat(26),
  'b'.repeat(26),
  'a'.repeat(32),
  'b'.repeat(32),
  'a'.repeat(64),
  'b'.repeat(64),
  'local:9000/a.raw',
  'local:9000/b.raw',
  'host',
  `guest:aa`,
  `${'a'.repeat(26)}.1`,
  `a@${'a'.repeat(26)}`,
  0.25,
  1,
  2,
  9000,
  9001,
  90,
  91,
  `ssh-ed25519 ${ed25519(1)}`,
  `ssh-ed25519 ${ed25519(2)}`,
];

function ed25519(fill: number): string {
  const part = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  return Buffer.concat([part(Buffer.from('ssh-ed25519')), part(Buffer.alloc(32, fill))]).toString('base64');
}

const found = new Map<Schema, readonly [unknown, unknown]>();

function leaves(schema: Schema, path: string): readonly [unknown, unknown] {
  const known = found.get(schema);
  if (known !== undefined) return known;
  const [one, other] = candidates.filter((candidate) => schema.safeParse(candidate).success);
  assert.ok(one !== undefined && other !== undefined, `two values for ${path} have to be among the candidates`);
  found.set(schema, [one, other]);
  return [one, other];
}

/** A value with everything in it that the schema knows. */
function sample(schema: Schema, path: string): unknown {
  const { type, shape, element, innerType, options, entries, values } = schema.def;
  switch (type) {
    case 'object':
      return Object.fromEntries(Object.entries(shape ?? {}).map(([key, one]) => [key, sample(one, `${path}.${key}`)]));
    case 'array':
      return [sample(element as Schema, `${path}[]`)];
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
      return sample(innerType as Schema, path);
    case 'union':
      return sample(options?.[0] as Schema, path);
    case 'enum':
      return Object.values(entries ?? {})[0];
    case 'literal':
      return values?.[0];
    case 'boolean':
      return true;
    case 'record':
      return {};
    case 'string':
    case 'number':
    case 'pipe':
      return leaves(schema, path)[0];
    default:
      return assert.fail(`this test knows nothing of ${type} at ${path}`);
  }
}

/** Every single change that the schema allows, at least one per field. */
function changesOf(schema: Schema, path: string): readonly Change[] {
  const { type, shape, element, innerType, options, entries, values, keyType, valueType } = schema.def;
  const here = (before: unknown, after: unknown): Change => ({ path, before, after });
  const whole = () => sample(schema, path);
  switch (type) {
    case 'object':
      return Object.entries(shape ?? {}).flatMap(([key, one]) =>
        changesOf(one, `${path}.${key}`).map(({ path: at, before, after }) => ({
          path: at,
          before: { ...(whole() as object), [key]: before },
          after: { ...(whole() as object), [key]: after },
        })),
      );
    case 'array':
      return [
        here(whole(), []),
        ...changesOf(element as Schema, `${path}[]`).map(({ path: at, before, after }) => ({
          path: at,
          before: [before],
          after: [after],
        })),
      ];
    case 'optional':
      return [here(whole(), undefined), ...changesOf(innerType as Schema, path)];
    case 'nullable':
      return [here(whole(), null), ...changesOf(innerType as Schema, path)];
    case 'default':
    case 'prefault':
      return changesOf(innerType as Schema, path);
    case 'union': {
      const [first, ...others] = (options ?? []).map((one) => sample(one, path));
      return [...others.map((other) => here(first, other)), ...(options ?? []).flatMap((one) => changesOf(one, path))];
    }
    case 'enum': {
      const [first, ...others] = Object.values(entries ?? {});
      return others.map((other) => here(first, other));
    }
    case 'literal': {
      const [first, ...others] = values ?? [];
      return others.map((other) => here(first, other));
    }
    case 'boolean':
      return [here(true, false)];
    case 'record':
      return [here({}, { [String(sample(keyType as Schema, path))]: sample(valueType as Schema, path) })];
    case 'string':
    case 'number':
    case 'pipe':
      return [here(...leaves(schema, path))];
    default:
      return assert.fail(`this test knows nothing of ${type} at ${path}`);
  }
}

const ages: ReadonlySet<string> = new Set([
  '.lastPassAt',
  '.backups[].rpoMs',
  '.backups[].provenAgeMs',
  '.bulk[].rpoMs',
]);

test('the state covers every field of the report that is not an age, and no other', () => {
  const changes = changesOf(report, '');
  assert.ok(changes.length > 300, `${changes.length} changes`);
  const state = (raw: unknown): string => JSON.stringify(stateOfReport(raw as Report));
  const wrong = changes.flatMap(({ path, before, after }) =>
    (state(before) === state(after)) === ages.has(path) ? [] : [path],
  );
  assert.deepEqual(wrong, []);
  const paths = new Set(changes.map(({ path }) => path));
  for (const age of ages) assert.ok(paths.has(age), `${age} is in the schema`);
});

const at = Date.UTC(2026, 0, 10);
const copy = { id: 'b', consistency: 'app', mode: 'snapshot', sizeBytes: 5 };
const aged = emptyReport({
  lastPassAt: at,
  backups: [
    {
      guest: 'cloud',
      uid: 'a'.repeat(26),
      tier: 'nightly',
      target: 'nas',
      state: 'ok',
      newest: { ...copy, at: at - 1000 },
      rpoMs: 7,
      proven: { id: 'b', at: at - 5000, testedAt: at },
      copies: 3,
      risks: [],
    },
  ],
  bulk: [
    { guest: 'cloud', volume: 'media', decision: 'controller', newestAt: at + 5000 },
    { guest: 'cloud', volume: 'films', decision: 'undecided', rpoMs: 3 },
  ],
});

test('ages are those of the moment of reading, whatever the report said of them', () => {
  const shown = reportAsOf(aged, at, at - 2);
  assert.deepEqual([shown.backups[0]?.rpoMs, shown.backups[0]?.provenAgeMs], [1000, 5000]);
  assert.deepEqual(
    shown.bulk.map(({ rpoMs }) => rpoMs),
    [0, undefined],
    'no copy is of tomorrow, and where there is none there is no age',
  );
  assert.equal(reportAsOf(aged, 2 * Number.MAX_SAFE_INTEGER).backups[0]?.rpoMs, Number.MAX_SAFE_INTEGER);
  assert.equal(shown.lastPassAt, at - 2);
  assert.equal(reportAsOf(aged, at).lastPassAt, undefined, 'whose word would it be?');
  assert.equal(digestOfReport(shown), digestOfReport(aged));
  assert.deepEqual(report.parse(shown), shown);
  assert.equal('rpoMs' in (stateOfReport(shown).backups[0] ?? {}), false);
});

const finding = (more: object) => ({
  key: 'backup.none',
  severity: 'warning',
  subject: 'cloud',
  text: 'x',
  advice: { text: 'y' },
  since: 1,
  ...more,
});
const matters: readonly (readonly [what: string, before: object, after: object, matters: boolean])[] = [
  ['a warning comes', {}, { findings: [finding({})] }, true],
  ['it becomes critical', { findings: [finding({})] }, { findings: [finding({ severity: 'critical' })] }, true],
  ['an information', {}, { findings: [finding({ severity: 'info' })] }, false],
  ['other words for the same', { findings: [finding({})] }, { findings: [finding({ text: 'z' })] }, false],
  [
    'the order of findings',
    { findings: [finding({}), finding({ subject: 'web' })] },
    { findings: [finding({ subject: 'web' }), finding({})] },
    false,
  ],
  ['a hold', {}, { hold: true }, true],
  ['break-glass opens', {}, { breakGlass: { is: 'open', until: 5 } }, true],
  ['trust cannot be read', {}, { trust: { is: 'unreadable', text: 'x' } }, true],
  ['work begins', {}, { converged: false }, false],
  ['a newer agent', {}, { versions: { agent: '2', node: '26' } }, false],
  ['an age', { lastPassAt: 1 }, { lastPassAt: 2 }, false],
];
for (const [what, before, after, expected] of matters)
  test(`what matters where bytes are paid for: ${what} → ${expected}`, () => {
    const of = (more: object): Report => emptyReport({ ...more });
    assert.equal(matterOfReport(of(before)) !== matterOfReport(of(after)), expected);
  });
