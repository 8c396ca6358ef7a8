/** A small world for tests of the gate: one guest, `photos`, that is ours, serves, and has room to grow. */
import {
  desiredGuest,
  digest,
  digestOfTrust,
  guestName,
  guestUid,
  storageId,
  trustDocument,
  vmid,
  volumeId,
} from '@felhom/protocol';
import type { DesiredGuest, TrustDocument } from '@felhom/protocol';
import { guestRefOf } from '../src/authority/effects.ts';
import type { Effect, EffectKind, GuestRef } from '../src/authority/effects.ts';
import type { Evidence, GateFacts, GuestFacts, StrangerFacts } from '../src/authority/facts.ts';
import type { GuestRecord } from '../src/authority/guest-record.ts';
import type { DestroyBasis, SeenBeforeDestroy } from '../src/authority/provenance.ts';
import { hostPolicy } from '../src/host-policy.ts';
import type { HostPolicy } from '../src/host-policy.ts';

export const now = 1_800_000_000_000;
export const hour = 3_600_000;
export const uid = guestUid.parse('aaaaaaaaaaaaaaaaaaaaaaaaaa');
export const otherUid = guestUid.parse('bbbbbbbbbbbbbbbbbbbbbbbbbb');
export const name = guestName.parse('photos');
export const rootVolume = volumeId.parse('fast:vm-9000-disk-0');
export const dataVolume = volumeId.parse('fast:vm-9000-disk-1');
export const foreignVolume = volumeId.parse('fast:vm-9000-disk-7');
export const ref: GuestRef = { uid, incarnation: 1, name };

export function makePolicy(change: Record<string, unknown> = {}): HostPolicy {
  return hostPolicy.parse({
    v: 1,
    node: 'pve',
    pool: 'felhom',
    vmids: { guests: { from: 9000, to: 9099 }, scratch: { from: 9100, to: 9199 } },
    bridges: ['vmbr0', 'vmbr1'],
    storages: ['fast', 'slow'],
    goldens: { 'base.1': { archive: 'slow:backup/golden.tar.zst', sizeBytes: 1, sha256: 'a'.repeat(64) } },
    limits: { guests: 4, cores: 16, memoryMiB: 16_384, blastRadius: 2 },
    ...change,
  });
}

export function makeDesired(change: Record<string, unknown> = {}): DesiredGuest {
  return desiredGuest.parse({
    name: 'mail',
    golden: 'base.1',
    hostname: 'mail',
    cores: 2,
    memoryMiB: 1024,
    rootfs: { storage: 'fast', sizeGiB: 8 },
    volumes: [{ name: 'data', path: '/var/lib/docker', storage: 'fast', sizeGiB: 20, backup: true }],
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
    ...change,
  });
}

export function makeRecord(change: Partial<GuestRecord> = {}): GuestRecord {
  return {
    uid,
    incarnation: 1,
    marker: 'n1',
    name,
    vmid: vmid.parse(9000),
    golden: 'base.1',
    volumes: [
      { key: 'rootfs', name: 'rootfs', volid: rootVolume, sizeGiB: 8, ctime: 100, carriedOver: false },
      { key: 'mp0', name: 'data', volid: dataVolume, sizeGiB: 20, ctime: 101, carriedOver: false },
    ],
    servedAt: 1,
    configDigest: 'd',
    createdAt: 1,
    scratch: false,
    ...change,
  };
}

export function makeGuest(change: Partial<GuestFacts> = {}): GuestFacts {
  return {
    record: makeRecord(),
    identity: { is: 'ours' },
    seenVolumes: [rootVolume, dataVolume],
    mountPaths: new Map([['data', '/srv/data']]),
    sizeGiB: 28,
    grownGiB: 0,
    personStoppedAt: undefined,
    ...change,
  };
}

export function makeFacts(change: Partial<GateFacts> = {}): GateFacts {
  return {
    hostEpoch: 'c'.repeat(32),
    policy: makePolicy(),
    guest: makeGuest(),
    stranger: undefined,
    holds: { host: false, guests: [] },
    sums: { guests: 1, cores: 4, memoryMiB: 4096, swapMiB: 512 },
    storages: new Map([
      ['fast', { capacityGiB: 100, availableGiB: 60, virtualGiB: 28 }],
      ['slow', { capacityGiB: 1000, availableGiB: 900, virtualGiB: 0 }],
    ]),
    self: { snapshots: 0, onDemandToday: 0, tasksThisHour: 0 },
    touches: [],
    ...change,
  };
}

/** A provision is about a name that nobody has, an adoption about a guest that nobody knows. */
export const factsFor = (effect: Effect, change: Partial<GateFacts> = {}): GateFacts =>
  makeFacts({
    ...(guestRefOf(effect) === undefined ? { guest: undefined } : {}),
    ...(effect.kind === 'guest-adopt' || effect.kind === 'guest-re-register' ? { stranger } : {}),
    ...change,
  });

export const basis: DestroyBasis = {
  vmid: vmid.parse(9000),
  uid,
  incarnation: 1,
  marker: 'n1',
  allocated: [rootVolume, dataVolume],
  carriedOver: [],
  listedBeforeCreate: [],
};

export const seen: SeenBeforeDestroy = {
  vmid: vmid.parse(9000),
  marker: { is: 'present', uid, incarnation: 1, n: 'n1' },
  config: [rootVolume, dataVolume],
  pending: [],
  unused: [],
  listed: [rootVolume, dataVolume],
};

function uint32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
}

/** A public key line as OpenSSH writes it; nobody has the private one. */
export function publicKeyLine(filler: number): string {
  const type = Buffer.from('ssh-ed25519');
  const blob = Buffer.concat([uint32(type.length), type, uint32(32), Buffer.alloc(32, filler)]);
  return `ssh-ed25519 ${blob.toString('base64')}`;
}

export const thresholds = { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 1 } as const;

/** The trust document that `trust-change` would put in force. */
export function makeTrust(change: Record<string, unknown> = {}): TrustDocument {
  return trustDocument.parse({
    v: 1,
    host: 'box',
    version: 2,
    issuedAt: now,
    expiresAt: now + 90 * 24 * hour,
    signers: ['alice', 'bob', 'carol'].map((principal, at) => ({
      principal,
      key: publicKeyLine(at + 1),
      signs: ['felhom-job@1'],
      touch: false,
    })),
    revoked: [],
    thresholds,
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
    ...change,
  });
}

export const scratchRecord = makeRecord({ scratch: true, servedAt: undefined, vmid: vmid.parse(9100) });
export const evidences = {
  'desired-state': { is: 'desired-state' },
  'local-root': { is: 'local-root' },
  'same-saga': { is: 'same-saga', sagaId: 's1', basis, seen },
  scratch: {
    is: 'scratch',
    record: scratchRecord,
    listedBeforeCreate: [],
    seen: { ...seen, vmid: scratchRecord.vmid },
  },
  'guest-itself': { is: 'guest-itself', uid: ref.uid },
  'restore-window': { is: 'restore-window', sagaId: 's', loss: [rootVolume], endedAt: now - 1 },
  'signed-job': {
    is: 'signed-job',
    jobId: 'j1',
    people: ['alice', 'bob'],
    signed: digest.parse('5'.repeat(64)),
    trust: {
      thresholds,
      loneOperator: false,
    },
  },
} as const satisfies { [K in Evidence['is']]: Extract<Evidence, { is: K }> };

/** A guest from before the agent, inside the range of guests. */
export const strangersVmid = vmid.parse(9042);
export const stranger: StrangerFacts = {
  vmid: strangersVmid,
  configDigest: 'b'.repeat(40),
  volumes: [volumeId.parse('fast:vm-9042-disk-0'), volumeId.parse('fast:vm-9042-disk-1')],
  onRecord: false,
  nameTaken: false,
};
const saga = {
  sagaId: 's',
  step: 'x',
  classes: ['destroy'],
  removal: false,
  loss: ['fast:vm-9000-disk-1'],
} as const;

const sha256 = digest.parse('e'.repeat(64));
const archive = volumeId.parse('slow:backup/a.tar.zst');
const change = { guest: ref, from: 'a', to: 'b' } as const;
const volume = { guest: ref, volume: 'data', volid: dataVolume } as const;
const backup = { archive, sha256 } as const;
const restore = { guest: ref, backup, bulk: [], loss: [dataVolume, rootVolume] } as const;
const setting = { setting: 's', from: 'a', to: 'b' } as const;
const target = { target: 't', from: 'a', to: 'b' } as const;

/** One plausible effect of every kind; those that move a number move it inside every range. */
export const effects: Readonly<Record<EffectKind, Effect>> = {
  'guest-provision': { kind: 'guest-provision', desired: makeDesired() },
  'guest-remove': { kind: 'guest-remove', guest: ref, volumes: [rootVolume, dataVolume] },
  'guest-start': { kind: 'guest-start', guest: ref },
  'guest-stop': { kind: 'guest-stop', guest: ref },
  'guest-onboot-on': { kind: 'guest-onboot-on', guest: ref },
  'guest-onboot-off': { kind: 'guest-onboot-off', guest: ref },
  'cpu-up': { kind: 'cpu-up', guest: ref, from: 2, to: 4 },
  'cpu-down': { kind: 'cpu-down', guest: ref, from: 4, to: 2 },
  'memory-up': { kind: 'memory-up', guest: ref, from: 1024, to: 2048 },
  'memory-down': { kind: 'memory-down', guest: ref, from: 2048, to: 1024 },
  'swap-up': { kind: 'swap-up', guest: ref, from: 0, to: 512 },
  'swap-down': { kind: 'swap-down', guest: ref, from: 512, to: 0 },
  'volume-add': {
    kind: 'volume-add',
    guest: ref,
    volume: { name: 'more', path: '/srv/more', storage: storageId.parse('fast'), sizeGiB: 10, backup: true },
  },
  'volume-grow': { kind: 'volume-grow', ...volume, from: 20, to: 24 },
  'volume-shrink': { kind: 'volume-shrink', ...volume, from: 20, to: 10 },
  'volume-remove': { kind: 'volume-remove', ...volume },
  'volume-move': { kind: 'volume-move', ...volume, to: 'slow' },
  'mount-change': { kind: 'mount-change', guest: ref, volume: 'data', from: '/srv/data', to: '/srv/elsewhere' },
  'backup-flag-on': { kind: 'backup-flag-on', guest: ref, volume: 'data' },
  'backup-flag-off': { kind: 'backup-flag-off', guest: ref, volume: 'data' },
  'network-change': {
    kind: 'network-change',
    guest: ref,
    network: 'eth0',
    from: 'name=eth0,bridge=vmbr0',
    to: { name: 'eth0', bridge: 'vmbr1', ipv4: 'dhcp', firewall: true },
  },
  'nameserver-change': { kind: 'nameserver-change', ...change },
  'hostname-change': { kind: 'hostname-change', ...change },
  'label-change': { kind: 'label-change', guest: ref, tags: ['a'], label: 'Photos' },
  'startup-change': { kind: 'startup-change', ...change },
  'timezone-change': { kind: 'timezone-change', ...change },
  'marker-repair': { kind: 'marker-repair', guest: ref },
  'guest-decommission': {
    kind: 'guest-decommission',
    guest: ref,
    volumes: [rootVolume, dataVolume],
    backups: 'keep',
    stage: 'quarantine',
  },
  'guest-lift-quarantine': { kind: 'guest-lift-quarantine', guest: ref },
  'guest-adopt': {
    kind: 'guest-adopt',
    vmid: strangersVmid,
    name: guestName.parse('old-mail'),
    configDigest: stranger.configDigest,
    volumes: stranger.volumes,
  },
  'guest-re-register': { kind: 'guest-re-register', guest: ref, vmid: strangersVmid, volumes: stranger.volumes },
  'hold-set': { kind: 'hold-set', scope: 'host' },
  'hold-clear': { kind: 'hold-clear', scope: 'host' },
  'saga-resume': { kind: 'saga-resume', ...saga },
  'saga-abandon': { kind: 'saga-abandon', ...saga },
  'trust-change': { kind: 'trust-change', before: sha256, after: digestOfTrust(makeTrust()) },
  'floor-change': { kind: 'floor-change', before: sha256, floor: 'keepDays', from: 7, to: 3 },
  'break-glass-open': { kind: 'break-glass-open', minutes: 30, key: publicKeyLine(9), consents: ['c'.repeat(26)] },
  'break-glass-close': { kind: 'break-glass-close' },
  'target-attach': { kind: 'target-attach', target: 't', identity: 'i', declaration: sha256 },
  'target-detach': { kind: 'target-detach', target: 't', serial: 's', uuid: 'u', idFile: 'f' },
  'target-wipe': { kind: 'target-wipe', target: 't', serial: 's', uuid: 'u', idFile: 'f' },
  'target-re-point': {
    kind: 'target-re-point',
    target: 't',
    serial: 's',
    uuid: 'u',
    idFile: 'f',
    identity: 'i',
    declaration: sha256,
  },
  'tunnel-change': { kind: 'tunnel-change', before: '', declaration: sha256, guests: ['192.168.1.50'] },
  'backup-options-change': { kind: 'backup-options-change', ...change, option: 'excludes' },
  'bulk-backup-drop': { kind: 'bulk-backup-drop', guest: ref, volume: 'data', target: 't' },
  'backup-force': { kind: 'backup-force', guest: ref, tier: 'local' },
  'backup-delete': { kind: 'backup-delete', guest: ref, backup },
  'backup-unprotect': { kind: 'backup-unprotect', guest: ref, backup },
  'restore-overwrite': { kind: 'restore-overwrite', ...restore, undoHours: 72 },
  'restore-in-place': { kind: 'restore-in-place', ...restore },
  'restore-copy': { kind: 'restore-copy', guest: ref, backup, name: guestName.parse('web-copy') },
  'guest-rollback': {
    kind: 'guest-rollback',
    guest: ref,
    snapshot: 's',
    takenAt: 1,
    volumes: [rootVolume, dataVolume],
  },
  'restore-undo': { kind: 'restore-undo', guest: ref, sagaId: 's', loss: [rootVolume] },
  'restore-finish': { kind: 'restore-finish', guest: ref, sagaId: 's', loss: [rootVolume] },
  'backup-run': { kind: 'backup-run', guest: ref, tier: 'local', slot: 1 },
  'backup-prune': { kind: 'backup-prune', guest: ref, backup },
  'marker-renew': { kind: 'marker-renew', guest: ref },
  'restore-test': { kind: 'restore-test', guest: ref, tier: 'local', backup },
  'scratch-sweep': { kind: 'scratch-sweep', guest: ref },
  'guest-recover': { kind: 'guest-recover', guest: ref, tier: 'local', backup },
  'checkpoint-drop': { kind: 'checkpoint-drop', guest: ref, checkpoint: 'c' },
  'controller-update': {
    kind: 'controller-update',
    guest: ref,
    role: 'controller',
    version: '1.0.0',
    digest: sha256,
  },
  'claim-issue': { kind: 'claim-issue', guest: ref },
  'claim-drop': { kind: 'claim-drop', guest: ref },
  'guest-remount': { kind: 'guest-remount', guest: ref, targets: ['usb1'] },
  'saga-undo': { kind: 'saga-undo', sagaId: 's', step: 'x' },
  'saga-finish': { kind: 'saga-finish', sagaId: 's', step: 'x' },
  'target-change': { kind: 'target-change', ...target },
  'target-class-change': { kind: 'target-class-change', ...target },
  'target-role-change': { kind: 'target-role-change', ...target },
  'target-decommission': { kind: 'target-decommission', target: 't' },
  'target-creds-rotate': { kind: 'target-creds-rotate', target: 't' },
  'schedule-change': { kind: 'schedule-change', ...setting },
  'retention-change': { kind: 'retention-change', ...setting },
  'restore-test-change': { kind: 'restore-test-change', ...setting },
  'reporting-change': { kind: 'reporting-change', ...setting },
  'update-window-change': { kind: 'update-window-change', ...setting },
  'hub-re-point': { kind: 'hub-re-point', spkiSha256: sha256 },
  downgrade: { kind: 'downgrade', product: 'agent', digest: sha256 },
  'controller-image-change': { kind: 'controller-image-change', guest: ref, digest: sha256 },
  'controller-config-provision': { kind: 'controller-config-provision', guest: ref, setting: 's', to: 'b' },
  'controller-config-change': { kind: 'controller-config-change', guest: ref, setting: 's', to: 'b' },
  'snapshot-take': { kind: 'snapshot-take', guest: ref, purpose: 'deploy' },
  'self-rollback': { kind: 'self-rollback', guest: ref, checkpoint: 'c' },
  'backup-on-demand': { kind: 'backup-on-demand', guest: ref, tier: 'local' },
  'claim-redeem': { kind: 'claim-redeem', guest: ref },
  'manifest-store': { kind: 'manifest-store', guest: ref },
  'consent-record': { kind: 'consent-record', guest: ref },
  'quiesce-set': { kind: 'quiesce-set', guest: ref },
  'controller-report': { kind: 'controller-report', guest: ref },
};
