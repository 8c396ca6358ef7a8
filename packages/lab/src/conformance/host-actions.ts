/** What was done on the host between the calls, as the notes tell it: a pattern of the note, and what it means here. */
import { textOf } from '../fake-pve/core.ts';
import type { Bench } from './bench.ts';
import { barePath, dataOf, isRecord, type Exchange, type Item } from './exchange.ts';
import { fileMember } from '../fake-pve/storage/disk/disk.ts';
import { decodeUpid } from '../fake-pve/tasks/upid.ts';
import { createNames, translate, type Names } from './normalise.ts';
import {
  configText,
  ensureConfig,
  ensurePower,
  ensureTemplate,
  goldenConfig,
  removeGuest,
  rewriteArchive,
  writeArchive,
} from './world.ts';

interface NoteAction {
  readonly note: RegExp;
  readonly act: (
    bench: Bench,
    match: RegExpExecArray,
    items: readonly Item[],
    index: number,
    names: Names,
  ) => Promise<void> | void;
}

/** Notes that stand between the calls. */
const noteActions: readonly NoteAction[] = [
  {
    note: /pct unlock (\d+)/,
    act: ({ host }, match) => host.unlock(Number(match[1])),
  },
  {
    note: /template flag removed on the host/,
    act: ({ host }, _match, items, index) => {
      const vmid = lastGuest(items, index);
      host.setRawConfig(vmid, (host.rawConfig(vmid) ?? '').replace(/^template: .*\n/m, ''));
    },
  },
  {
    note: /archive made from a CT with: (.*)/,
    act: async (bench, match, items, index, names) => {
      const next = nextCall(items, index);
      const volid = translate(textOf(next?.params?.['ostemplate']), names);
      if (volid === '') return;
      await rewriteArchive(bench, volid, oddConfig(match[1] ?? '', resultAfter(items, index), names));
    },
  },
];

/** What the archive of an odd guest says, by the words of the note. */
const oddities: readonly { readonly words: RegExp; readonly change: (config: string) => string }[] = [
  {
    words: /raw lxc/,
    change: (config) =>
      `${config}lxc.cgroup2.devices.allow: c 10:200 rwm\nlxc.mount.entry: /dev/net/tun dev/net/tun none bind,create=file\n`,
  },
  { words: /bind mount point/, change: (config) => withLine(config, 'mp1: /srv/bind,mp=/mnt/bind') },
  { words: /device passthrough/, change: (config) => withLine(config, 'dev0: /dev/fuse') },
  { words: /privileged CT/, change: (config) => config.replace(/^unprivileged: 1\n/m, '') },
  { words: /hookscript/, change: (config) => withLine(config, 'hookscript: local:snippets/x.sh') },
  { words: /protection/, change: (config) => withLine(config, 'protection: 1') },
  { words: /mp0 with backup=1/, change: (config) => config.replace('backup=0', 'backup=1') },
  {
    words: /second NIC/,
    change: (config) => withLine(config, 'net1: name=eth1,bridge=vmbr9,hwaddr=BC:24:11:AA:BB:CC,type=veth'),
  },
];

/** What the restored guest shows, or the golden one where none does, with the oddity. */
function oddConfig(words: string, result: Record<string, unknown> | undefined, names: Names): string {
  const plain = goldenConfig(100).replace(/^(#|onboot:).*\n/gm, '');
  const base = result === undefined ? plain : configText(result, names).replace(/^lxc\..*\n/gm, '');
  return oddities.filter((oddity) => oddity.words.test(words)).reduce((config, { change }) => change(config), base);
}

function withLine(config: string, line: string): string {
  const key = line.split(':', 1)[0] ?? '';
  return new RegExp(`^${key}:`, 'm').test(config) ? config : `${config}${line}\n`;
}

/** The config that is read after the next call, before the next note. */
function resultAfter(items: readonly Item[], index: number): Record<string, unknown> | undefined {
  for (const item of items.slice(index + 1)) {
    if (item.is === 'note') return undefined;
    const data = item.is === 'call' && barePath(item.call).endsWith('/config') ? dataOf(item.call) : undefined;
    if (isRecord(data)) return data;
  }
  return undefined;
}

interface CallAction {
  readonly note: RegExp;
  readonly act: (bench: Bench, call: Exchange, items: readonly Item[], index: number) => void;
}

/** Notes on a call: what had been done before it. */
const callActions: readonly CallAction[] = [
  { note: /^token expired$/, act: ({ node, undo }) => expireTokens(node, undo) },
  { note: /^user disabled$/, act: ({ node, undo }) => changeUser(node, undo, { enable: 0 }) },
  { note: /^user expired$/, act: ({ node, undo }) => changeUser(node, undo, { expire: 1 }) },
  {
    note: /^password login$/,
    act: ({ node }, call) =>
      void node.access.addUser(textOf(call.params?.['username']), { password: textOf(call.params?.['password']) }),
  },
  { note: /RUNNING CT/, act: (bench, call) => runForNow(bench, Number(call.params?.['vmid'])) },
  {
    note: /protected CT$/,
    act: (bench, call) =>
      editGuest(bench, Number(call.params?.['vmid']), (config) => withLine(config, 'protection: 1')),
  },
  { note: /restore over a CT with snapshots/, act: (bench, call) => makeWithSnapshot(bench, call) },
  { note: /host vzdump.conf bwlimit/, act: ({ node }) => void (node.storage.vzdumpDefaults.bwlimitKiB = 4000) },
  { note: /backup storage too small/, act: (bench, call) => fillGuest(bench, Number(call.params?.['vmid'])) },
  {
    note: /no UPID/,
    act: ({ node }, call) => node.faults.add({ path: /./, fault: { is: 'die', message: call.reason } }),
  },
  {
    note: /^bridge missing$/,
    act: (bench, call, items, index) => {
      const bridge = /bridge '(.*)' does not exist/.exec(exitAfter(items, index))?.[1];
      if (bridge !== undefined)
        edit(bench, call, (config) =>
          withLine(config, 'net0: name=eth0,bridge=vmbr0,ip=dhcp,type=veth').replace(
            /bridge=[^,\n]+/,
            `bridge=${bridge}`,
          ),
        );
    },
  },
  {
    note: /^storage of rootfs unknown$/,
    act: (bench, call, items, index) => {
      const storage = /storage '(.*)' does not exist/.exec(exitAfter(items, index))?.[1];
      if (storage !== undefined)
        edit(bench, call, (config) => config.replace(/^rootfs: [^:]+:/m, `rootfs: ${storage}:`));
    },
  },
  {
    note: /^volume of mp\d+ missing$/,
    act: (bench, call, items, index) => {
      const volid = /volume '(.*)' does not exist/.exec(exitAfter(items, index))?.[1];
      if (volid !== undefined)
        edit(bench, call, (config) =>
          config.includes(volid) ? config : withLine(config, `mp0: ${volid},mp=/srv/data,size=1G`),
        );
      const volume = volid === undefined ? undefined : bench.node.storage.volume(volid);
      if (volid === undefined || volume === undefined) return;
      void bench.node.storage.free(volid);
      bench.undo.push(() =>
        bench.node.storage.createVolume(volume.storage, volid.split(':')[1] ?? '', volume.sizeBytes),
      );
    },
  },
  { note: /^init cannot be executed$/, act: (bench, call) => setInit(bench, call, 'cannot-be-executed') },
  { note: /^init that ignores the halt signal$/, act: ({ host }, call) => host.setInit(guestOf(call), 'ignores-halt') },
  { note: /after umount$/, act: ({ node }, call) => node.storage.hardware.unmount(pathOf(node, call)) },
  { note: /after pct unlock/, act: ({ host }, call) => host.unlock(guestOf(call)) },
];

export async function actOnNote(
  bench: Bench,
  note: string,
  items: readonly Item[],
  index: number,
  names: Names,
): Promise<void> {
  for (const action of noteActions) {
    const match = action.note.exec(note);
    if (match !== null) await action.act(bench, match, items, index, names);
  }
}

export async function actBefore(
  bench: Bench,
  call: Exchange,
  items: readonly Item[],
  index: number,
  names: Names,
): Promise<void> {
  if (!/\/tasks\//.test(call.path)) for (const undo of bench.undo.splice(0)) undo();
  mountNewStorage(bench, call, items, index);
  await copyTemplates(bench, call, items, index);
  await freeGuestId(bench, call);
  await makeGiven(bench, call, items, index, names);
  remakeGuest(bench, call, items, index);
  adoptTasks(bench, call, items);
  if (/entrypoint/.test(textOf(call.params?.['delete']))) bench.host.setInit(guestOf(call), 'obeys');
  for (const action of callActions)
    if (call.note !== undefined && action.note.test(call.note)) action.act(bench, call, items, index);
}

/** A storage that a call defines lies on a disk of its own when the recording shows another size than the root disk. */
function mountNewStorage({ node }: Bench, call: Exchange, items: readonly Item[], index: number): void {
  const params = call.params ?? {};
  const path = params['path'];
  if (call.method !== 'POST' || barePath(call) !== '/storage' || typeof path !== 'string') return;
  const { hardware } = node.storage;
  const status = items
    .slice(index)
    .flatMap((item) => (item.is === 'call' ? [item.call] : []))
    .find((other) => barePath(other).endsWith(`/storage/${textOf(params['storage'])}/status`));
  const data = status === undefined ? undefined : dataOf(status);
  if (!isRecord(data) || data['active'] !== 1 || hardware.isMountPoint(path)) return;
  const total = Number(data['total']);
  if (total === hardware.place('/').device.capacityBytes) return;
  const filesystem = params['type'] === 'btrfs' ? 'btrfs' : 'ext4';
  hardware.add({
    id: `disk-${textOf(params['storage'])}`,
    capacityBytes: total,
    filesystem,
    otherBytes: Number(data['used']),
  });
  hardware.mount(path, `disk-${textOf(params['storage'])}`);
}

/** Templates come onto a storage by hand: what a list shows, or what a create unpacks, had been copied before. */
async function copyTemplates(bench: Bench, call: Exchange, items: readonly Item[], index: number): Promise<void> {
  const data = dataOf(call);
  if (call.method === 'GET' && barePath(call).endsWith('/content') && Array.isArray(data))
    for (const row of data)
      if (isRecord(row) && row['content'] === 'vztmpl') await ensureTemplate(bench, textOf(row['volid']));
  const template = textOf(call.params?.['ostemplate']);
  if (/:vztmpl\//.test(template) && call.status === 200 && !/does not exist/.test(exitAfter(items, index)))
    await ensureTemplate(bench, template);
}

/** A create that was not refused because of its id proves that the id was free: `pct destroy` in between. */
async function freeGuestId(bench: Bench, call: Exchange): Promise<void> {
  const params = call.params ?? {};
  if (call.method !== 'POST' || !/^\/nodes\/[^/]+\/lxc$/.test(barePath(call)) || Number(params['force'] ?? 0) === 1)
    return;
  if (/already exists on node|\/vms\/|\/pool\//.test(call.reason) || call.status === 400) return;
  await removeGuest(bench, Number(params['vmid']));
}

/** A guest that answers after it was destroyed had been made again on the host. */
function remakeGuest(bench: Bench, call: Exchange, items: readonly Item[], index: number): void {
  const vmid = Number(/^\/nodes\/[^/]+\/lxc\/(\d+)\/config$/.exec(barePath(call))?.[1]);
  const data = dataOf(call);
  if (call.method !== 'GET' || call.status !== 200 || !isRecord(data) || bench.node.guests.exists(vmid)) return;
  const changes = items
    .slice(0, index)
    .flatMap((item) =>
      item.is === 'call' && item.call.method !== 'GET' && item.call.status === 200 ? [item.call] : [],
    )
    .filter((other) => guestOf(other) === vmid || Number(other.params?.['vmid']) === vmid);
  if (changes.at(-1)?.method === 'DELETE') ensureConfig(bench, vmid, data, createNames());
}

/** Tasks that no recorded call started ran before or beside the recording: they are history. */
function adoptTasks(bench: Bench, call: Exchange, items: readonly Item[]): void {
  const { tasks } = bench.node;
  const data = dataOf(call);
  const path = decodeURIComponent(barePath(call));
  const started = (upid: string): boolean =>
    bench.startedUpids.has(upid) || tasks.find(upid) !== undefined || decodeUpid(upid) === undefined;
  if (path.endsWith('/tasks') && Array.isArray(data)) {
    const recorded = JSON.stringify(items);
    for (const row of data.filter(isRecord).toReversed()) {
      const upid = textOf(row['upid']);
      // What the bench did by hand in its place is the same thing.
      const parts = decodeUpid(upid);
      const stand = tasks
        .all()
        .find(
          ({ upid: mine, parts: own, who }) =>
            own.type === parts?.type &&
            own.id === parts.id &&
            who.full === parts.user &&
            !recorded.includes(mine) &&
            Math.abs(own.starttime - parts.starttime) <= 5,
        );
      if (!started(upid) && stand === undefined && row['endtime'] !== undefined)
        tasks.adopt(upid, [lastLine(textOf(row['status']))], Number(row['endtime']));
    }
    return;
  }
  const upid = /\/tasks\/([^/]+)/.exec(path)?.[1];
  if (upid === undefined || started(upid) || (call.status !== 200 && call.status !== 403)) return;
  const answers = items.flatMap((item) => (item.is === 'call' ? [item.call] : []));
  const status = answers.find(
    (other) => decodeURIComponent(barePath(other)).endsWith(`${upid}/status`) && other.status === 200,
  );
  const log = answers.find(
    (other) => decodeURIComponent(barePath(other)).endsWith(`${upid}/log`) && other.status === 200,
  );
  const lines = log === undefined ? undefined : dataOf(log);
  const facts = status === undefined ? undefined : dataOf(status);
  const text = Array.isArray(lines)
    ? lines.filter(isRecord).map((line) => textOf(line['t']))
    : [lastLine(textOf(isRecord(facts) ? facts['exitstatus'] : 'OK'))];
  tasks.adopt(upid, text, Math.floor(bench.clock.now() / 1000));
}

function lastLine(status: string): string {
  if (status === 'OK' || /^WARNINGS: \d+$/.test(status)) return `TASK ${status}`;
  return status === 'unexpected status' ? '' : `TASK ERROR: ${status}`;
}

function lastGuest(items: readonly Item[], index: number): number {
  for (let n = index; n >= 0; n -= 1) {
    const item = items[n];
    const vmid = item?.is === 'call' ? /\/lxc\/(\d+)/.exec(item.call.path)?.[1] : undefined;
    if (vmid !== undefined) return Number(vmid);
  }
  return 0;
}

function nextCall(items: readonly Item[], index: number): Exchange | undefined {
  for (const item of items.slice(index + 1)) if (item.is === 'call') return item.call;
  return undefined;
}

/** How the task that a call started ended. */
function exitAfter(items: readonly Item[], index: number): string {
  for (const item of items.slice(index + 1)) {
    const data = item.is === 'call' ? dataOf(item.call) : undefined;
    if (isRecord(data) && data['exitstatus'] !== undefined) return textOf(data['exitstatus']);
  }
  return '';
}

function guestOf(call: Exchange): number {
  return Number(/\/lxc\/(\d+)/.exec(call.path)?.[1]);
}

function pathOf(node: Bench['node'], call: Exchange): string {
  const storage = /\/storage\/([^/]+)/.exec(call.path)?.[1] ?? '';
  return textOf(node.storage.definitions.need(storage).options.get('path'));
}

function edit(bench: Bench, call: Exchange, change: (config: string) => string): void {
  editGuest(bench, guestOf(call), change);
}

function editGuest(bench: Bench, vmid: number, change: (config: string) => string): void {
  const before = bench.host.rawConfig(vmid) ?? '';
  bench.host.setRawConfig(vmid, change(before));
  bench.undo.push(() => bench.host.setRawConfig(vmid, before));
}

function setInit(bench: Bench, call: Exchange, behaviour: 'cannot-be-executed'): void {
  bench.host.setInit(guestOf(call), behaviour);
  bench.undo.push(() => bench.host.setInit(guestOf(call), 'obeys'));
}

function runForNow(bench: Bench, vmid: number): void {
  if (bench.node.guests.isRunning(vmid)) return;
  ensurePower(bench, vmid, true);
  bench.undo.push(() => ensurePower(bench, vmid, false));
}

/** A guest on the storage that the call names, with one snapshot. */
function makeWithSnapshot(bench: Bench, call: Exchange): void {
  const vmid = Number(call.params?.['vmid']);
  const storage = textOf(call.params?.['storage']);
  if (bench.node.guests.exists(vmid)) return;
  const active = goldenConfig(vmid).replaceAll('felhom:', `${storage}:`);
  bench.host.setRawConfig(
    vmid,
    `${active}parent: s1\n\n[s1]\n${active}snaptime: ${Math.floor(bench.clock.now() / 1000)}\n`,
  );
  for (const n of [0, 1]) bench.node.storage.createVolume(storage, `${vmid}/vm-${vmid}-disk-${n}.raw`, 1024 ** 3);
}

/** A file of thirty megabytes in the guest. */
function fillGuest({ node }: Bench, vmid: number): void {
  const root = node.guests.backupVolumes(vmid).included.get('/');
  if (root === undefined) return;
  const path = node.storage.diskPath(root.split(':')[0] ?? '', `images/${root.split(':')[1] ?? ''}`);
  void node.storage.disk.writeTree(path, [fileMember('./root/big', new Uint8Array(64_000_000))], {
    skipExisting: false,
  });
}

/** What a call takes for granted and nobody made: a snapshot that is rolled back to, a backup that is restored. */
async function makeGiven(
  bench: Bench,
  call: Exchange,
  items: readonly Item[],
  index: number,
  names: Names,
): Promise<void> {
  const { node } = bench;
  const name = /\/snapshot\/([^/]+)\/rollback$/.exec(barePath(call))?.[1];
  const vmid = guestOf(call);
  if (name !== undefined && call.status === 200 && exitAfter(items, index) === 'OK' && node.guests.exists(vmid)) {
    if (node.guests.config(vmid).snapshots.has(name)) return;
    const path = `/nodes/${node.name}/lxc/${vmid}/snapshot`;
    const answer = await node.handle({ method: 'POST', path, params: { snapname: name }, as: 'root@pam' });
    if (isRecord(answer.body)) await bench.clock.runUntil(node.tasks.settled(textOf(answer.body['data'])));
  }
  const archive = textOf(call.params?.['ostemplate']);
  if (!/:backup\//.test(archive) || call.status !== 200 || !node.storage.exists(archive.split(':')[0] ?? '')) return;
  const ours = translate(archive, names);
  if (/does not exist/.test(exitAfter(items, index)) || node.storage.archives.info(ours) !== undefined) return;
  const owner = Number(/vzdump-lxc-(\d+)-/.exec(ours)?.[1]);
  await writeArchive(bench, ours, bench.host.rawConfig(owner) ?? goldenConfig(owner), 1_000_000);
}

function expireTokens(node: Bench['node'], undo: (() => void)[]): void {
  for (const user of node.access.config.users.values())
    for (const token of user.tokens.values()) {
      const { expire } = token;
      token.expire = 1;
      undo.push(() => (token.expire = expire));
    }
}

function changeUser(node: Bench['node'], undo: (() => void)[], change: { enable?: 0; expire?: number }): void {
  for (const user of node.access.config.users.values()) {
    if (user.userid === 'root@pam') continue;
    const { enable, expire } = user;
    Object.assign(user, change);
    undo.push(() => Object.assign(user, { enable, expire }));
  }
}
