/** Makes things on the bench that the recorded machine had: configs, volumes, archives, storages. */
import { textOf } from '../fake-pve/core.ts';
import { storeOf } from '../fake-pve/guests/store.ts';
import { directoryMember, fileMember } from '../fake-pve/storage/disk/disk.ts';
import type { Bench } from './bench.ts';
import { differences, translate, type Names } from './normalise.ts';

type Row = Readonly<Record<string, unknown>>;

/** The storage with snapshots that the recorded machine had. */
export const btrfsStorage: Row = {
  storage: 'btr',
  type: 'btrfs',
  path: '/mnt/btr',
  content: 'rootdir,images,backup',
  is_mountpoint: 'yes',
};

/** Writes the config file of a guest from the answer of `GET config`, unless it says so already. */
export function ensureConfig(bench: Bench, vmid: number, wanted: Row, names: Names): void {
  const { node, host } = bench;
  const before = host.rawConfig(vmid);
  const text = configText(wanted, names);
  const sections = before === undefined ? '' : (/^\[.*$/ms.exec(before)?.[0] ?? '');
  if (before !== undefined && sameConfig(before, text, names)) return;
  bench.sketched.delete(vmid);
  const rootOf = (config: string): string | undefined => /^rootfs: ([^,\n]+)/m.exec(config)?.[1];
  // Another root volume means another guest: it had been destroyed and made again.
  if (before !== undefined && rootOf(before) !== undefined && rootOf(before) !== rootOf(text))
    for (const volume of node.storage.volumesOf(vmid))
      if (!text.includes(volume.volid)) void node.storage.free(volume.volid);
  host.setRawConfig(vmid, text + (sections === '' ? '' : `\n${sections}`));
  for (const [key, value] of Object.entries(wanted))
    if (/^(rootfs|mp\d+|unused\d+)$/.test(key)) volumeOf(bench, textOf(value));
}

function sameConfig(before: string, text: string, names: Names): boolean {
  const active = (raw: string): Row =>
    Object.fromEntries(
      raw
        .split(/^\[/m, 1)[0]
        ?.split('\n')
        .filter((line) => line !== '')
        .map((line, n) => (line.startsWith('#') ? [`#${n}`, line] : [line.split(': ')[0] ?? '', line])) ?? [],
    );
  return differences('', active(text), active(before), names).length === 0;
}

/** The file form of a config answer. */
export function configText(config: Row, names: Names): string {
  const lines: string[] = [];
  const description = config['description'];
  if (typeof description === 'string')
    for (const line of description.replace(/\n$/, '').split('\n')) lines.push(`#${encodeComment(line)}`);
  for (const key of Object.keys(config).sort()) {
    if (['description', 'digest', 'lxc'].includes(key)) continue;
    lines.push(`${key}: ${translate(textOf(config[key]), names)}`);
  }
  const raw = config['lxc'];
  if (Array.isArray(raw))
    for (const pair of raw) if (Array.isArray(pair)) lines.push(`${textOf(pair[0])}: ${textOf(pair[1])}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** PVE: Tools.pm encode_text. */
function encodeComment(text: string): string {
  return [...new TextEncoder().encode(text)]
    .map((byte) =>
      byte < 0x20 || byte > 0x7e || byte === 0x25 || byte === 0x3a
        ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
        : String.fromCharCode(byte),
    )
    .join('');
}

function volumeOf({ node }: Bench, property: string): void {
  const volid = property.split(',')[0]?.replace(/^volume=/, '') ?? '';
  const size = /(?:^|,)size=([^,]+)/.exec(property)?.[1];
  const parsed = /^([a-z][\w.-]*):(.+)$/i.exec(volid);
  if (parsed === null || !node.storage.exists(parsed[1] ?? '') || node.storage.volume(volid) !== undefined) return;
  try {
    node.storage.createVolume(parsed[1] ?? '', parsed[2] ?? '', sizeBytes(size ?? '1G'));
  } catch {
    // The storage is not there at the moment; then neither is the volume.
  }
}

export function ensureVolume(bench: Bench, row: Row): void {
  volumeOf(bench, `${textOf(row['volid'])},size=${textOf(row['size'])}`);
}

function sizeBytes(size: string): number {
  const [, number = '0', unit = ''] = /^([\d.]+)([KMGT]?)$/.exec(size) ?? [];
  return Number(number) * 1024 ** ['', 'K', 'M', 'G', 'T'].indexOf(unit);
}

export function ensurePower({ node }: Bench, vmid: number, running: boolean): void {
  if (!node.guests.exists(vmid) || node.guests.isRunning(vmid) === running) return;
  const store = storeOf(node);
  if (running) store.running.set(vmid, { pid: 4242, since: node.clock.now() });
  else store.running.delete(vmid);
}

export async function ensureStorage({ node }: Bench, row: Row): Promise<void> {
  const storage = textOf(row['storage']);
  if (node.storage.exists(storage)) return;
  const { digest: _digest, ...params } = row;
  await node.handle({ method: 'POST', path: '/storage', params, as: 'root@pam' });
}

/** A backup, made of the config of its guest as far as that is known. */
export async function ensureArchive(bench: Bench, row: Row, names: Names): Promise<void> {
  const { node, host } = bench;
  const volid = translate(textOf(row['volid']), names);
  const storage = volid.split(':')[0] ?? '';
  if (!node.storage.exists(storage)) return;
  const vmid = Number(row['vmid']);
  if (node.storage.archives.info(volid) === undefined)
    await writeArchive(
      bench,
      volid,
      isOfSecondGolden(vmid, volid) ? goldenConfig(vmid, volid) : (host.rawConfig(vmid) ?? goldenConfig(vmid)),
      Number(row['size'] ?? 1_000_000),
    );
  if (row['notes'] !== undefined && node.storage.archives.notes(volid) === '')
    node.storage.archives.setNotes(volid, textOf(row['notes']));
  const root = { user: 'root@pam', full: 'root@pam' };
  node.storage.archives.setProtected(root, volid, row['protected'] === 1);
}

/** A backup whose config an answer shows. */
export async function rewriteArchive(bench: Bench, volid: string, config: string): Promise<void> {
  const { archives, disk } = bench.node.storage;
  const path = archives.volidPath(volid);
  if (path === undefined) return;
  const notes = archives.notes(volid);
  if (disk.file(path) !== undefined) disk.removeFile(path);
  await writeArchive(bench, volid, config, 1_000_000);
  archives.setNotes(volid, notes);
}

export async function writeArchive({ node }: Bench, volid: string, config: string, bytes: number): Promise<void> {
  const path = node.storage.archives.volidPath(volid);
  if (path === undefined) return;
  const active = (config.split(/^\[/m, 1)[0] ?? '')
    .split('\n')
    .filter((line) => !/^(lock|parent|snaptime):/.test(line));
  // All guests of the bench were made unprivileged. Where the config was edited to say otherwise, vzdump archives the
  // owners that the files have on the host.
  const owner = /^unprivileged: 1$/m.test(config) ? 0 : 100_000;
  const owned = { uid: owner, gid: owner };
  const members = [
    fileMember('./etc/vzdump/pct.conf', active.join('\n')),
    directoryMember('./'),
    directoryMember('./etc'),
    fileMember('./etc/hostname', 'golden\n', owned),
    fileMember('./etc/alpine-release', '3.20.0\n', owned),
    directoryMember('./sbin', owned),
    fileMember('./sbin/init', 'x'.repeat(Math.min(bytes, 20_000)), { mode: 0o755, ...owned }),
  ];
  const compression = volid.endsWith('.zst') ? 'zstd' : volid.endsWith('.gz') ? 'gzip' : 'none';
  await node.storage.disk.writeArchive(path, members, compression, Number.MAX_SAFE_INTEGER);
}

/** A container template, as an administrator copies it into `template/cache`. */
export async function ensureTemplate({ node }: Bench, volid: string): Promise<void> {
  if (!node.storage.exists(volid.split(':')[0] ?? '')) return;
  const path = node.storage.archives.volidPath(volid);
  if (path === undefined || node.storage.disk.file(path) !== undefined) return;
  const members = [
    directoryMember('./'),
    directoryMember('./etc'),
    fileMember('./etc/alpine-release', '3.20.0\n'),
    fileMember('./etc/hostname', 'base\n'),
    directoryMember('./sbin'),
    fileMember('./sbin/init', 'init', { mode: 0o755 }),
  ];
  await node.storage.disk.writeArchive(path, members, 'zstd', Number.MAX_SAFE_INTEGER);
}

/** `pct destroy` on the host: config and volumes go. */
export async function removeGuest({ node, host }: Bench, vmid: number): Promise<void> {
  if (!node.guests.exists(vmid)) return;
  host.unmount(vmid);
  host.removeConfig(vmid);
  node.access.forgetGuest(vmid);
  for (const volume of node.storage.volumesOf(vmid)) await node.storage.free(volume.volid);
}

/** What `status/current` tells about a config: tags and name. */
export function ensureFacts({ host }: Bench, vmid: number, status: Row): void {
  const before = host.rawConfig(vmid);
  if (before === undefined) return;
  const without = before.replace(/^(tags): .*\n/gm, '');
  const tags = status['tags'];
  if (before.includes(`tags: ${textOf(tags)}\n`) || (tags === undefined && without === before)) return;
  host.setRawConfig(vmid, tags === undefined ? without : `tags: ${textOf(tags)}\n${without}`);
}

/** A guest of which only a row of a list is known. */
export function ensureGuestRow(bench: Bench, row: Row): void {
  const vmid = Number(row['vmid']);
  if (bench.node.guests.exists(vmid) || row['status'] === 'unknown') return;
  const size = Math.round(Number(row['maxdisk']) / 1024 ** 3);
  const config: Row = {
    ...(row['tags'] === undefined ? {} : { tags: row['tags'] }),
    arch: 'amd64',
    cores: row['maxcpu'] ?? row['cpus'],
    hostname: row['name'],
    memory: Math.round(Number(row['maxmem']) / 1024 ** 2),
    ostype: 'alpine',
    rootfs: `felhom:${vmid}/vm-${vmid}-disk-0.raw,size=${size}G`,
    swap: 0,
    unprivileged: 1,
  };
  bench.host.setRawConfig(
    vmid,
    Object.entries(config)
      .map(([key, value]) => `${key}: ${textOf(value)}\n`)
      .join(''),
  );
  bench.sketched.add(vmid);
  volumeOf(bench, textOf(config['rootfs']));
}

/** The golden guest was made anew, without description and onboot, while nobody recorded. */
const SECOND_GOLDEN = '2026_11_23-23_31_00';

function isOfSecondGolden(vmid: number, archive: string): boolean {
  return vmid === 100 && (/\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d/.exec(archive)?.[0] ?? '') > SECOND_GOLDEN;
}

/** Does to the golden guest what was done to it unrecorded, once the time for it has come. Twice is the same as once. */
export function remakeGolden({ node, host }: Bench): void {
  const text = host.rawConfig(100);
  const due = new Date(node.clock.now()).toISOString().slice(0, 19) > '2026-11-23T23:31:00';
  if (due && text?.startsWith('#golden image line1') === true)
    host.setRawConfig(100, text.replace(/^(#|onboot: 0$).*\n/gm, ''));
}

/** The golden guest of the recordings, for archives whose guest is unknown; `archive` tells from when it is. */
export function goldenConfig(vmid: number, archive = ''): string {
  const isSecond = isOfSecondGolden(vmid, archive);
  return [
    ...(isSecond ? [] : ['#golden image line1', '#line2 %C3%BCn%C3%AFcode']),
    'arch: amd64',
    'cores: 1',
    'features: nesting=1,keyctl=1',
    'hostname: golden',
    'memory: 256',
    `mp0: felhom:${vmid}/vm-${vmid}-disk-1.raw,mp=/srv/data,backup=0,size=1G`,
    'net0: name=eth0,bridge=vmbr0,gw=10.98.0.1,hwaddr=BC:24:11:86:11:FE,ip=10.98.0.100/24,type=veth',
    ...(isSecond ? [] : ['onboot: 0']),
    'ostype: alpine',
    `rootfs: felhom:${vmid}/vm-${vmid}-disk-0.raw,size=1G`,
    'swap: 0',
    'tags: felhom;golden',
    'unprivileged: 1',
    '',
  ].join('\n');
}

/** Backups that the recording does not list are not there. */
export function forgetMissing(bench: Bench, storage: string, rows: readonly Row[], params: Row, names: Names): void {
  const { archives } = bench.node.storage;
  if (!bench.node.storage.exists(storage)) return;
  const listed = new Set(rows.map((row) => translate(textOf(row['volid']), names)));
  const root = { user: 'root@pam', full: 'root@pam' };
  const asked = params['content'];
  if (asked === undefined || asked === 'rootdir')
    for (const vmid of bench.node.guests.ids())
      for (const volume of bench.node.storage.volumesOf(vmid))
        if (
          volume.storage === storage &&
          !listed.has(volume.volid) &&
          [undefined, vmid].includes(asNumber(params['vmid']))
        )
          void bench.node.storage.free(volume.volid);
  if (asked !== undefined && asked !== 'backup') return;
  for (const backup of archives.list(storage)) {
    if (listed.has(backup.volid)) continue;
    if (params['vmid'] !== undefined && backup.vmid !== Number(params['vmid'])) continue;
    archives.setProtected(root, backup.volid, false);
    archives.remove(backup.volid);
  }
}

function asNumber(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value);
}
