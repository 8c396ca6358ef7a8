import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { connectQmp } from './qmp.ts';

interface Command {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** QEMU as far as it matters: greets, and answers each command with these lines. */
async function qemu(t: TestContext, answer: (command: Command) => readonly object[]) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-qmp-'));
  const file = join(folder, 'qmp');
  const server = createServer((socket) => {
    const say = (document: object): void => void socket.write(`${JSON.stringify(document)}\r\n`);
    say({ QMP: { version: {}, capabilities: [] } });
    createInterface({ input: socket }).on('line', (line) => {
      const command = JSON.parse(line) as Command;
      if (command.execute === 'quit') socket.destroy();
      else if (command.execute === 'qmp_capabilities') say({ return: {} });
      else for (const document of answer(command)) say(document);
    });
  });
  await new Promise<void>((listening) => server.listen(file, listening));
  const qmp = await connectQmp(file);
  t.after(() => {
    qmp.close();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return qmp;
}

test('answers go to their commands in order, refusals with their words, events past them', async (t) => {
  const qmp = await qemu(t, ({ execute }) =>
    execute === 'device_del'
      ? [{ return: {} }, { event: 'OTHER' }, { event: 'DEVICE_DELETED', data: { device: 'stick' } }]
      : execute === 'bad'
        ? [{ event: 'OTHER' }, { error: { class: 'GenericError', desc: "Device 'x' not found" } }]
        : [{ return: execute }],
  );
  const gone = qmp.event('DEVICE_DELETED', AbortSignal.timeout(5_000));
  const [first, bad, last] = await Promise.allSettled([qmp.execute('one'), qmp.execute('bad'), qmp.execute('two')]);
  assert.deepEqual(
    [first.status === 'fulfilled' && first.value, last.status === 'fulfilled' && last.value],
    ['one', 'two'],
  );
  assert.match(bad.status === 'rejected' ? String(bad.reason) : '', /Device 'x' not found/);
  await qmp.execute('device_del', { id: 'stick' });
  await gone;
});

test('the human monitor refuses in words; a QEMU that ends fails whoever waits', async (t) => {
  const qmp = await qemu(t, ({ arguments: given }) => [
    { return: given['command-line'] === 'savevm ready' ? '' : 'Error: no such snapshot\r\n' },
  ]);
  await qmp.monitor('savevm ready');
  await assert.rejects(qmp.monitor('loadvm x'), /cannot loadvm x: Error: no such snapshot/);
  await assert.rejects(qmp.event('NEVER', AbortSignal.timeout(10)), /no event NEVER came/);
  await assert.rejects(qmp.execute('quit'), /QEMU closed its socket/);
});
