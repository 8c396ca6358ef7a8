import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './index.ts';

function logging(taken: boolean | undefined, isTTY = false) {
  const out: string[] = [];
  const records: unknown[] = [];
  const journal = taken === undefined ? undefined : (record: unknown): boolean => records.push(record) > 0 && taken;
  return { log: createLog({ now: () => 0 }, { write: (text) => out.push(text), isTTY }, journal), out, records };
}

test('on a pipe: the priority as systemd reads it, then JSON', () => {
  const { log, out } = logging(undefined);
  log.error('hub failed', { code: 'hub.timeout' });
  assert.deepEqual(out, ['<3>{"level":"error","message":"hub failed","code":"hub.timeout"}\n']);
});

test('in the journal each field can be asked for, and nothing is said twice', () => {
  const { log, out, records } = logging(true);
  log.warn('hub failed', { code: 'hub.timeout', afterFailures: 3, saga: undefined });
  assert.deepEqual(out, []);
  assert.deepEqual(records, [
    {
      MESSAGE: 'hub failed code=hub.timeout afterFailures=3',
      PRIORITY: '4',
      SYSLOG_IDENTIFIER: 'felhom-agent',
      FELHOM_CODE: 'hub.timeout',
      FELHOM_AFTER_FAILURES: '3',
    },
  ]);
});

test('what the journal does not take is said on the way that always works', () => {
  const { log, out } = logging(false);
  log.info('agent stopped');
  assert.deepEqual(out, ['<6>{"level":"info","message":"agent stopped"}\n']);
});

test('a terminal gets a line for people', () => {
  const { log, out } = logging(undefined, true);
  log.info('saga', { id: 's1', why: undefined });
  assert.deepEqual(out, ['1970-01-01T00:00:00.000Z info saga id=s1\n']);
});
