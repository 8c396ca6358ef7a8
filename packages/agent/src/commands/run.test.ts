import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { validServer } from '../adapters/hub-https/certificates.fixture.ts';
import { exitCodes, runService } from './run.ts';

/** The service with this configuration until it says `until`; its exit code and all it said. */
async function run(t: TestContext, until: RegExp, overrides: (folder: string) => Record<string, unknown>) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-run-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const place = (name: string, content: unknown): string => {
    const file = join(folder, name);
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
    return file;
  };
  const configFile = place('agent.yaml', {
    v: 1,
    host: 'alpha',
    stateDirectory: join(folder, 'state'),
    adminSocket: join(folder, 'agent.sock'),
    policyFile: place('policy.yaml', {
      v: 1,
      node: 'pve1',
      pool: 'felhom',
      vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9020, to: 9029 } },
      bridges: ['vmbr0'],
      storages: ['local'],
      goldens: {},
    }),
    proxmox: {
      url: 'https://localhost:1',
      tokenFile: place('token', 'felhom@pve!agent=00000000-1111-2222-3333-444444444444'),
      trust: { caFile: place('ca.pem', validServer.cert) },
    },
    desired: { file: join(folder, 'desired.yaml') },
    ...overrides(folder),
  });
  const stop = new AbortController();
  const said: string[] = [];
  const write = (text: string): void => {
    said.push(text);
    if (until.test(text)) stop.abort(new Error('the test is over'));
  };
  return { exit: await runService(configFile, { write }, stop.signal), said: said.join('') };
}

test('guests are looked after also where the admin socket cannot be opened', async (t) => {
  const { exit, said } = await run(t, /agent started/, (folder) => {
    mkdirSync(join(folder, 'taken'));
    return { adminSocket: join(folder, 'taken') };
  });
  assert.equal(exit, exitCodes.stopped);
  assert.match(said, /it is there and is no socket; correct adminSocket/);
});

test('a state directory that cannot be written is no damaged journal', async (t) => {
  const { said } = await run(t, /degraded/, (folder) => {
    writeFileSync(join(folder, 'file'), '');
    return { stateDirectory: join(folder, 'file', 'state') };
  });
  assert.match(said, /"code":"journal.full"/);
});

test('a token file that holds the secret alone is refused without showing any of it', async (t) => {
  const { said } = await run(t, /degraded/, (folder) => {
    const tokenFile = join(folder, 'secret-alone');
    writeFileSync(tokenFile, '0a0b0c0d-1111-2222-3333-444444444444', { mode: 0o600 });
    return { proxmox: { tokenFile, trust: { caFile: join(folder, 'ca.pem') } } };
  });
  assert.match(said, /is not one line USER@REALM!TOKENID=SECRET/);
  assert.doesNotMatch(said, /0a0b0c0d/);
});
