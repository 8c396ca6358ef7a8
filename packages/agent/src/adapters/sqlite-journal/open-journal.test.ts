import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Journal, JournalErrorCode } from '../../kernel/journal.ts';
import { JournalError } from '../../kernel/journal.ts';
import { openJournal } from './index.ts';

const root = mkdtempSync(join(tmpdir(), 'felhom-journal-'));
after(() => rmSync(root, { recursive: true, force: true }));

let draws = 0;
const random = { bytes: (count: number) => new Uint8Array(count).fill((draws += 1)) };
const clock = { now: () => 1_800_000_000_000 };
const open = (directory: string): Journal => openJournal({ directory, clock, random });
const fresh = (): string => mkdtempSync(join(root, 'state-'));

/** A closed journal with something in it that must never be lost. */
function written(): { readonly directory: string; readonly path: string } {
  const directory = fresh();
  const journal = open(directory);
  for (let saga = 0; saga < 20; saga += 1)
    journal.append(
      [
        {
          v: 1,
          kind: 'saga-started',
          at: 1,
          saga: `s${saga}`,
          name: 'toy',
          version: 1,
          params: 'x'.repeat(300),
          lanes: ['guest:a'],
          purpose: 'change',
        },
        { v: 1, kind: 'step-intent', at: 2, saga: `s${saga}`, step: 'place', value: { vmid: 9000 + saga } },
      ],
      [{ put: { key: `guest/${saga}`, v: 1, body: { vmid: 9000 + saga } } }],
    );
  journal.close();
  return { directory, path: join(directory, 'journal.db') };
}

const contentOf = (journal: Journal): unknown => ({
  hostEpoch: journal.hostEpoch,
  sagas: journal.openSagas().map((saga) => journal.recordsOf(saga)),
  documents: journal.list(''),
});

function refusal(directory: string): JournalError {
  try {
    open(directory).close();
  } catch (error) {
    assert.ok(error instanceof JournalError, String(error));
    return error;
  }
  return assert.fail('it opened');
}

test('a new journal is private, marked as created, and mints its host epoch once', () => {
  const directory = join(fresh(), 'below', 'two');
  const first = open(directory);
  assert.equal(first.epoch, 1);
  assert.match(first.hostEpoch, /^[0-9a-f]{32}$/);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const name of ['journal.db', 'lock.db', 'journal.exists'])
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  first.close();
  const second = open(directory);
  assert.equal(second.epoch, 2);
  assert.equal(second.hostEpoch, first.hostEpoch);
  second.close();
});

test('a renewed host epoch is the one from then on, at once and after the next opening', () => {
  const directory = fresh();
  const journal = open(directory);
  const next = 'ab'.repeat(16);
  journal.renewHostEpoch(next);
  assert.equal(journal.hostEpoch, next);
  journal.close();
  const again = open(directory);
  assert.equal(again.hostEpoch, next);
  again.close();
});

test('what an append wrote is there after the next opening, records and documents together', () => {
  const { directory } = written();
  const journal = open(directory);
  assert.equal(journal.openSagas().length, 20);
  assert.deepEqual(journal.get('guest/7'), { key: 'guest/7', v: 1, body: { vmid: 9007 } });
  assert.equal(journal.recordsOf('s7').length, 2);
  journal.close();
});

interface Damage {
  readonly name: string;
  readonly harm: (directory: string, path: string) => void;
  readonly code: JournalErrorCode;
  readonly says: RegExp;
}

const damages: readonly Damage[] = [
  {
    name: 'cut in half',
    harm: (_, path) => truncateSync(path, Math.floor(statSync(path).size / 8192) * 4096),
    code: 'journal-damaged',
    says: /Nothing was changed\. Keep the whole directory aside/,
  },
  {
    name: 'cut inside a page',
    harm: (_, path) => truncateSync(path, 5000),
    code: 'journal-damaged',
    says: /journal\.db/,
  },
  { name: 'emptied', harm: (_, path) => truncateSync(path, 0), code: 'journal-damaged', says: /the file is empty/ },
  {
    name: 'removed',
    harm: (_, path) => unlinkSync(path),
    code: 'journal-damaged',
    says: /is missing, and journal\.exists/,
  },
  {
    name: 'overwritten with something else',
    harm: (_, path) => writeFileSync(path, 'not a database at all, but long enough to be looked at'.repeat(100)),
    code: 'journal-damaged',
    says: /not a database/,
  },
  {
    name: 'another SQLite file',
    harm: (_, path) => {
      unlinkSync(path);
      const other = new DatabaseSync(path);
      other.exec('CREATE TABLE t (x); PRAGMA user_version = 1');
      other.close();
    },
    code: 'journal-damaged',
    says: /no journal/,
  },
  {
    name: 'an empty SQLite file',
    harm: (_, path) => {
      unlinkSync(path);
      const other = new DatabaseSync(path);
      other.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (x); DROP TABLE t');
      other.close();
    },
    code: 'journal-damaged',
    says: /lost its content/,
  },
  {
    name: 'one VMID changed inside a record',
    harm: (_, path) => writeFileSync(path, replaced(readFileSync(path), '{"vmid":9007}},', '{"vmid":9008}},')),
    code: 'journal-damaged',
    says: /is not as it was written/,
  },
  {
    name: 'of a newer release',
    harm: (_, path) => {
      const newer = new DatabaseSync(path);
      newer.exec('PRAGMA user_version = 99');
      newer.close();
    },
    code: 'journal-newer',
    says: /schema 99, this release knows 1 to 1/,
  },
];

function replaced(bytes: Buffer, from: string, to: string): Buffer {
  const at = bytes.indexOf(from.slice(0, -2));
  assert.ok(at > 0, 'nothing to damage');
  Buffer.from(to.slice(0, -2)).copy(bytes, at);
  return bytes;
}

for (const { name, harm, code, says } of damages)
  test(`a journal ${name} is refused and left alone`, () => {
    const { directory, path } = written();
    harm(directory, path);
    const before = existsSync(path) ? readFileSync(path) : undefined;
    const error = refusal(directory);
    assert.equal(error.code, code);
    assert.match(error.message, says);
    assert.deepEqual(existsSync(path) ? readFileSync(path) : undefined, before, 'the file was touched');
    // Refusing twice proves that the lock was given back.
    assert.equal(refusal(directory).code, code);
  });

test('a flipped bit anywhere is refused, or lies where nothing is kept', () => {
  const { directory, path } = written();
  const sound = readFileSync(path);
  const reference = open(directory);
  const content = contentOf(reference);
  reference.close();
  let refusals = 0;
  for (let at = 0; at < sound.length; at += 211) {
    const bytes = Buffer.from(sound);
    bytes[at]! ^= 0x10;
    writeFileSync(path, bytes);
    let journal: Journal;
    try {
      journal = open(directory);
    } catch (error) {
      assert.ok(error instanceof JournalError, `byte ${at}: ${String(error)}`);
      refusals += 1;
      continue;
    }
    assert.deepEqual(contentOf(journal), content, `byte ${at} changed what the journal says`);
    journal.close();
  }
  assert.ok(refusals > 20, `${refusals} refusals`);
});

test('a crash between creating the journal and marking it is no damage', () => {
  const { directory } = written();
  unlinkSync(join(directory, 'journal.exists'));
  const journal = open(directory);
  assert.equal(journal.openSagas().length, 20);
  journal.close();
  assert.ok(existsSync(join(directory, 'journal.exists')));

  const begun = fresh();
  writeFileSync(join(begun, 'journal.db'), '');
  open(begun).close();
});

test('a state directory has one owner, also within one process', () => {
  const directory = fresh();
  const first = open(directory);
  const error = refusal(directory);
  assert.equal(error.code, 'journal-locked');
  assert.match(error.message, /another felhom-agent holds it/);
  first.put({ key: 'still', v: 1, body: true });
  first.close();
  open(directory).close();
});

test('kill -9 of the owner frees the directory and keeps what it wrote', async () => {
  const directory = fresh();
  const holder = fileURLToPath(new URL('test/hold-journal.ts', import.meta.url));
  const child = spawn(process.execPath, [holder, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    assert.equal(refusal(directory).code, 'journal-locked');
  } finally {
    child.kill('SIGKILL');
  }
  await once(child, 'close');
  const journal = open(directory);
  assert.equal(journal.epoch, 2);
  assert.deepEqual(
    journal.facts('held', 5).map(({ body }) => body),
    [child.pid],
  );
  journal.close();
});

test('a directory that cannot be made is an error that names it', () => {
  const directory = join(fresh(), 'file');
  writeFileSync(directory, '');
  const error = refusal(join(directory, 'state'));
  assert.equal(error.code, 'journal-io');
  assert.match(error.message, /cannot create state directory .*file\/state/);
});
