/** `felhom-agent storage`: what a person at the host sees, is asked, and gets. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Command } from 'commander';
import { createStyle } from '@felhom/terminal';
import { makeStorageHost, usb, uuid } from '../root-verbs/storage/test/storage-host.ts';
import { markText, storageManifest } from '../storage-manifest.ts';
import { addStorage } from './storage.ts';

const mark = 'c'.repeat(32);
const right = { device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' };

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-storage-command-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  const asked: string[] = [];
  const run = async (
    argv: readonly string[],
    over: { answers?: boolean; thinking?: () => void; types?: string; stdin?: string; uid?: number } = {},
  ) => {
    const said = { out: '', failed: '' };
    const quiet = { writeErr: (text: string) => void (said.failed += text), writeOut: () => {} };
    const program = new Command('felhom-agent').exitOverride().configureOutput(quiet);
    addStorage(program, {
      print: (text) => void (said.out += text),
      fail: (text) => void (said.failed += text),
      style: createStyle(false),
      now: () => 1000,
      confirm:
        over.answers === undefined
          ? undefined
          : async (question) => {
              asked.push(question);
              over.thinking?.();
              return over.answers === true;
            },
      typed:
        over.types === undefined
          ? undefined
          : async (question) => {
              asked.push(question);
              return over.types ?? '';
            },
      readStdin: async () => over.stdin ?? '',
      uid: over.uid ?? 0,
      rootUid: 0,
      asRoot: (work) => work(host.world),
    });
    for (const command of program.commands.flatMap((made) => [made, ...made.commands]))
      command.exitOverride().configureOutput(quiet);
    try {
      await program.parseAsync(['storage', ...argv], { from: 'user' });
    } catch (error) {
      said.failed += (error as Error).message;
    }
    return said;
  };
  const declared = () => storageManifest.parse(JSON.parse(readFileSync(host.world.registry.file, 'utf8'))).targets;
  const file = join(folder, 'usb.yaml');
  const { class: _, serial: __, ...draft } = usb;
  writeFileSync(file, JSON.stringify(draft));
  return { host, run, declared, file, asked, folder };
}

test('a disk is attached: shown, asked for, marked, mounted, defined and declared', async (t) => {
  const { host, run, declared, file, asked } = setUp(t);
  host.plug(right, { 'photo.jpg': 'x' });
  const { out, failed } = await run(['attach', file], { answers: true });
  assert.equal(failed, '');
  assert.deepEqual(asked, ['Attach usb-1?']);
  assert.match(out, /disk +\/dev\/sdb1, .*Elements 25A3, usb/);
  assert.match(out, /serial +WD-123/);
  assert.match(out, /its files stay as they are/);
  assert.match(out, /class +slow \(proposed\), not measured/);
  assert.match(out, /write \.felhom-target at its root/);
  assert.match(out, /make the storage usb1 in Proxmox/);
  assert.match(out, new RegExp(`usb-1 is attached: ext4:${uuid}`));
  assert.deepEqual(declared(), [{ target: usb, state: 'attached', mark, attachedAt: 1000 }]);
  assert.equal(statSync(host.world.registry.file).mode & 0o777, 0o644);
  assert.equal(host.mountedDevice('usb-1'), 'sdb1');
  assert.equal(readFileSync(join(host.world.mountRoot, 'usb-1', '.felhom-target'), 'utf8'), markText(mark));
  assert.ok(host.pool.has('usb1'));
  assert.match((await run(['list'])).out, /usb-1 .*as declared/);
});

test('nothing is done without a yes, or with nobody to ask', async (t) => {
  const { host, run, file } = setUp(t);
  host.plug(right, {});
  assert.match((await run(['attach', file])).failed, /nobody to ask; add --yes/);
  assert.match((await run(['attach', file], { answers: false })).failed, /nothing was done/);
  assert.equal(host.world.registry.read().is, 'none');
  assert.deepEqual(host.calls, []);
  assert.deepEqual(host.written, []);
  assert.match((await run(['attach', file], { uid: 1000 })).failed, /this takes root/);
});

const meanwhile: [name: string, change: (host: ReturnType<typeof makeStorageHost>) => void, says: RegExp][] = [
  [
    'its wiping began',
    (host) => host.declare({ target: usb, state: 'wiping', mark, attachedAt: 1, wipingBytes: 3_900_000_000 }),
    /its wiping has begun/,
  ],
  [
    'another disk with its UUID came in its place',
    (host) => {
      host.pull('sdb1');
      host.plug({ ...right, serial: 'WD-9' }, {});
    },
    /serial is WD-9, not WD-123/,
  ],
];
for (const [name, change, says] of meanwhile)
  test(`while a person was thinking ${name}: nothing is attached`, async (t) => {
    const { host, run, file } = setUp(t);
    host.plug(right, { '.felhom-target': markText(mark) });
    host.declare({ target: usb, state: 'decommissioned', mark, attachedAt: 1 });
    let before: unknown;
    const { failed } = await run(['attach', file], {
      answers: true,
      thinking: () => {
        change(host);
        before = host.world.registry.read();
      },
    });
    assert.match(failed, says);
    assert.deepEqual(host.world.registry.read(), before);
    assert.deepEqual([host.mountedDevice('usb-1'), host.written], [undefined, []]);
  });

test('the same order again is the same target, and goes on where it ended', async (t) => {
  const { host, run, declared, file } = setUp(t);
  host.plug(right, {});
  const { perl } = host.world.tools;
  const deaf = async (args: readonly string[], input = '') =>
    input.includes('"act":"create"') ? { code: 255, stdout: '', stderr: 'got no lock' } : perl(args, input);
  Object.assign(host.world.tools, { perl: deaf });
  assert.match((await run(['attach', file, '--yes'])).failed, /declared and not in use yet; .*got no lock/);
  Object.assign(host.world.tools, { perl });
  assert.equal((await run(['attach', file, '--yes'])).failed, '');
  assert.equal(declared().length, 1);
  assert.equal(declared()[0]?.mark, mark);
});

test('a disk that bears a mark is of somebody, until root says otherwise', async (t) => {
  const { host, run, declared, file } = setUp(t);
  host.plug(right, { '.felhom-target': markText('d'.repeat(32)) });
  assert.match(
    (await run(['attach', file, '--yes'])).failed,
    /bears the mark of a target of another host.*--take-over/,
  );
  assert.equal(host.mountedDevice('usb-1'), undefined);
  assert.equal(host.world.registry.read().is, 'none');
  assert.equal((await run(['attach', file, '--yes', '--take-over'])).failed, '');
  assert.equal(declared()[0]?.mark, mark);
});

test('a target that is known is only attached again with its own mark', async (t) => {
  const { host, run, file } = setUp(t);
  host.plug(right, {});
  await run(['attach', file, '--yes']);
  await run(['detach', 'usb-1']);
  host.pull('sdb1');
  host.plug({ ...right, device: 'sdc1' }, {});
  const { failed } = await run(['attach', file, '--yes']);
  assert.match(failed, /bears no mark, though it was attached before/);
  assert.equal(host.mountedDevice('usb-1'), undefined);
});

const taken: [name: string, argv: readonly string[], says: RegExp][] = [
  ['its name', ['--name', 'usb-1', '--uuid', 'AAAA-BBBB', '--storage', 'other'], /usb-1 is declared already/],
  ['its storage', ['--name', 'usb-2', '--uuid', 'AAAA-BBBB'], /storage usb1 is of target usb-1/],
  ['its disk', ['--name', 'usb-2', '--storage', 'other'], /is target usb-1 already/],
  [
    'a storage of others',
    ['--name', 'usb-2', '--uuid', 'AAAA-BBBB', '--storage', 'local'],
    /stands for something else/,
  ],
  ['no disk', ['--name', 'usb-2', '--uuid', 'CCCC-DDDD', '--storage', 'other'], /no disk here has the UUID/],
  ['a name that is none', ['--name', '../x'], /cannot read the declaration: name/],
  ['an option for mount', ['--type', 'nfs', '--server', '-oexec'], /cannot read the declaration/],
];
for (const [name, argv, says] of taken)
  test(`attaching under ${name}: refused, and nothing changed`, async (t) => {
    const { host, run, file, declared } = setUp(t);
    host.entries.set('local', { type: 'dir', path: '/var/lib/vz' });
    host.plug(right, {});
    host.plug({ device: 'sdc1', uuid: 'AAAA-BBBB', fileSystem: 'ext4', serial: 'X' });
    await run(['attach', file, '--yes']);
    const before = [declared(), [...host.entries], host.calls.length];
    assert.match((await run(['attach', file, ...argv, '--yes'])).failed, says);
    assert.deepEqual([declared(), [...host.entries], host.calls.length], before);
  });

test('a server is attached by options alone, once its password is kept', async (t) => {
  const { host, run, declared } = setUp(t);
  const argv = 'attach --type cifs --name nas --storage nas --role vzdump-target --server nas.lan --share backup'
    .concat(' --user felhom --credential nas --offsite --yes')
    .split(' ');
  assert.match((await run(argv)).failed, /there is no credential nas/);
  const kept = await run(['credential', 'nas'], { stdin: 'hunter2\n' });
  assert.match(kept.out, /only root reads/);
  const { out, failed } = await run(argv);
  assert.equal(failed, '');
  assert.match(out, /let data of the guests leave this host, for nas\.lan/);
  assert.equal(declared()[0]?.target.offsite, true);
  assert.equal(declared()[0]?.target.class, 'slow');
  assert.match((await run(['credential', 'nas'], { stdin: 'correct horse' })).out, /nas: Proxmox has it/);
  assert.match(host.written.at(-1) ?? '', /"password":"correct horse"/);
  assert.ok(!JSON.stringify([kept, out, host.arguments, declared()]).includes('hunter2'));
  assert.equal(statSync(join(host.world.credentials, 'nas.secret')).mode & 0o777, 0o600);
  for (const [stdin, name] of [
    ['two\nlines', 'nas'],
    ['', 'nas'],
    ['x', '../nas'],
  ] as const)
    assert.notEqual((await run(['credential', name], { stdin })).failed, '');
});

test('detached: unmounted, switched off, kept in mind, and refused while a guest is there', async (t) => {
  const { host, run, declared, file } = setUp(t);
  host.plug(right, {});
  await run(['attach', file, '--yes']);
  const config = join(host.folder, 'guests', '9001.conf');
  writeFileSync(config, '#usb1:x\nmp0: usb1:9001/vm-9001-disk-0.raw,mp=/srv\n');
  assert.match((await run(['detach', 'usb-1'])).failed, /guests have volumes there: 9001/);
  writeFileSync(config, '#mp0: usb1:9001/x\nmp0: xusb1:9001/x,mp=/srv\nhostname: usb1\n');
  host.busy = true;
  assert.match(
    (await run(['detach', 'usb-1'])).failed,
    /is decommissioned and not all out of use yet; the same order again goes on: it is in use/,
  );
  host.busy = false;
  assert.equal((await run(['detach', 'usb-1'])).failed, '');
  assert.equal(declared()[0]?.state, 'decommissioned');
  assert.equal(host.entries.get('usb1')?.['disable'], '1');
  assert.equal(host.mountedDevice('usb-1'), undefined);
  assert.match((await run(['list'])).out, /usb-1 .*decommissioned/);
  assert.match((await run(['detach', 'nobody'])).failed, /not a declared target/);
  assert.equal((await run(['attach', file, '--yes'])).failed, '');
  assert.equal(declared()[0]?.state, 'attached');
  assert.equal(host.entries.get('usb1')?.['disable'], undefined);
});

test('wiped: only what was detached, shown first, and by its name typed back', async (t) => {
  const { host, run, declared, file, asked } = setUp(t);
  host.plug(right, { 'photo.jpg': 'x' });
  await run(['attach', file, '--yes']);
  assert.match((await run(['wipe', 'usb-1'], { types: 'usb-1' })).failed, /it is in use; detach it first/);
  await run(['detach', 'usb-1']);
  assert.match((await run(['wipe', 'usb-1'])).failed, /a person has to type the name/);
  const { out, failed } = await run(['wipe', 'usb-1'], { types: 'yes' });
  assert.match(failed, /nothing was done/);
  assert.match(out, /\/dev\/sdb1, a part of \/dev\/sdb/);
  assert.match(out, /serial +WD-123/);
  assert.match(out, /all that is on it is lost/);
  assert.match(out, /no secure erase/);
  assert.deepEqual([asked, host.overwritten], [['Type usb-1 to wipe it:'], []]);
  assert.equal(declared()[0]?.state, 'decommissioned');
  assert.match((await run(['wipe', 'usb-1'], { types: 'usb-1', uid: 1000 })).failed, /this takes root/);
  assert.match((await run(['wipe', 'usb-1'], { types: 'usb-1' })).out, /usb-1 is wiped; its name is not given away/);
  assert.deepEqual(host.overwritten, ['/dev/sdb1']);
  assert.deepEqual(declared(), []);
  assert.match((await run(['attach', file, '--yes'])).failed, /had that name and was wiped/);
});

test('a wipe whose disk nobody can tell any more says that it overwrites nothing, and asks all the same', async (t) => {
  const { host, run, declared } = setUp(t);
  const { serial: _, ...target } = usb;
  host.declare({ target, state: 'wiping', mark, attachedAt: 1, wipingBytes: 3_900_000_000, wipingHead: true });
  const { out, failed } = await run(['wipe', 'usb-1'], { types: 'yes' });
  assert.match(out, /disk +not here, or not told from others any more/);
  assert.match(out, /overwrite nothing: an earlier order overwrote all but the first 128 KiB/);
  assert.match(failed, /nothing was done/);
  assert.equal(declared()[0]?.state, 'wiping');
  assert.equal((await run(['wipe', 'usb-1'], { types: 'usb-1' })).failed, '');
  assert.deepEqual([declared(), host.overwritten], [[], []]);
});

test('re-pointed: shown with both addresses, and asked for', async (t) => {
  const { host, run, declared, folder } = setUp(t);
  const nas = { type: 'nfs', name: 'nas', storage: 'nas', role: 'vzdump-target', class: 'slow', offsite: true };
  const file = join(folder, 'nas.yaml');
  const at = (server: string): void => writeFileSync(file, JSON.stringify({ ...nas, server, export: '/export' }));
  at('nas.lan');
  await run(['attach', file, '--yes']);
  at('10.0.0.9');
  assert.match((await run(['re-point', file])).failed, /nobody to ask; add --yes/);
  assert.match((await run(['re-point', file], { answers: false })).failed, /nothing was done/);
  assert.equal(host.entries.get('nas')?.['server'], 'nas.lan');
  const { out } = await run(['re-point', file], { answers: true });
  assert.match(out, /was +nfs:nas\.lan:\/export\n.*is to be +nfs:10\.0\.0\.9:\/export/);
  assert.match(out, /make the storage nas of Proxmox anew/);
  assert.match(out, /nas is at nfs:10\.0\.0\.9:\/export/);
  assert.equal(host.entries.get('nas')?.['server'], '10.0.0.9');
  assert.equal(declared().length, 1);
  writeFileSync(file, '{"type":"nfs","server":"-x"}');
  assert.match((await run(['re-point', file, '--yes'])).failed, /cannot/);
});

test('list tells what is not as declared, and which disks could be a target', async (t) => {
  const { host, run, file } = setUp(t);
  assert.match((await run(['list'])).out, /No targets are declared/);
  host.plug(right, {});
  assert.match((await run(['list'])).out, new RegExp(`/dev/sdb1 +ext4 +${uuid}`));
  await run(['attach', file, '--yes']);
  host.entries.set('usb1', { ...host.entries.get('usb1'), 'prune-backups': 'keep-last=1' });
  assert.match((await run(['list'])).out, /storage usb1 differs in prune-backups/);
  host.pull('sdb1');
  assert.match((await run(['list'])).out, /its disk is not there/);
  const { out } = await run(['list', '--json']);
  assert.equal((JSON.parse(out) as { targets: object[] }).targets.length, 1);
});
