/** The script of the page on a document of its own: what it shows of a host besides its guests. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { z } from 'zod';

const now = Date.UTC(2026, 0, 10);

interface Made {
  readonly kept: (Made | string)[];
  className: string;
}
const textOf = (part: Made | string): string => (typeof part === 'string' ? part : part.kept.map(textOf).join(' '));
const classesOf = (part: Made | string): string[] =>
  typeof part === 'string' ? [] : [part.className, ...part.kept.flatMap(classesOf)];

function shown(more: Readonly<Record<string, unknown>>): ReadonlyMap<string, { text: string; classes: string }> {
  const element = () => ({
    className: '',
    kept: [] as (Made | string)[],
    append(...children: (Made | string)[]) {
      this.kept.push(...children);
    },
    setAttribute: () => undefined,
    addEventListener: () => undefined,
    set textContent(text: string) {
      this.kept.splice(0, this.kept.length, text);
    },
  });
  const page = createContext({ document: { createElement: element }, report: emptyReport({ ...more }) });
  const script = ['elements.js', 'host-state.js'].map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
  const made: unknown = runInContext(
    `${script.join('\n')}; elements.clock.skewMs = ${now} - Date.now();
     [...hostState.facts(report).map(([title, part]) => [title, [part]]), ...hostState.sections(report)]`,
    page,
  );
  const parts = z.array(z.tuple([z.string(), z.array(z.custom<Made>())])).parse(made);
  return new Map(
    parts
      .filter(([, list]) => list.length > 0)
      .map(([title, list]) => [
        title,
        { text: list.map(textOf).join(' ').replaceAll(/\s+/g, ' '), classes: list.flatMap(classesOf).join(' ') },
      ]),
  );
}

test('a host of which nothing is told shows nothing', () => assert.equal(shown({}).size, 0));

test('the tunnel: whose trouble it is, and since when', () => {
  for (const [tunnel, text, tone] of [
    [{ is: 'up', since: now - 60_000 }, 'up since 1 min 0 s ago', 'good'],
    [{ is: 'down', since: now, why: '<b>x</b>' }, 'down since now <b>x</b>', 'bad'],
    [{ is: 'no-internet', since: now, why: 'x' }, 'the host has no internet since now x', 'bad'],
    [{ is: 'unknown', why: 'x' }, 'not known x', 'warn'],
  ] as const) {
    const found = shown({ tunnel }).get('Tunnel');
    assert.equal(found?.text, text);
    assert.match(found.classes, new RegExp(`badge ${tone}`));
  }
});

test('targets and disks, the bad said loudly', () => {
  const target = {
    name: 'nas',
    type: 'nfs',
    storage: 'nas',
    role: 'vzdump-target',
    class: 'slow',
    iops: 90,
    identity: 'nfs:a:/b',
    offsite: true,
    state: 'disconnected',
    since: now - 3_600_000,
    why: '<i>gone</i>',
    flapping: true,
  };
  const disks = [
    { device: 'sda', model: 'WD', serial: 'S1', health: 'failed', wornPercent: 3.4 },
    { device: 'sdb', model: '', serial: '', health: 'unknown' },
  ];
  const found = shown({ targets: [target], disks });
  assert.match(
    found.get('Storage targets')?.text ?? '',
    /nas nfs vzdump-target slow, 90 reads\/s disconnected since 1 h 0 min ago comes and goes <i>gone<\/i>/,
  );
  assert.match(found.get('Disks')?.text ?? '', /sda WD S1 fails 3 % sdb not told/);
  assert.match(found.get('Disks')?.classes ?? '', /badge bad/);
});
