/**
 * What the agent shows of itself: one view, from which the report to the hub, `felhom-agent status` and the dashboard
 * are all made. Pure; reads nothing and decides nothing.
 */
import { explain, volumeId } from '@felhom/protocol';
import type { Finding, GuestName, Reason } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { SeenBlockedAction } from '../admission/blocked-actions.ts';
import type { ReportFacts } from '../hub-link/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { SagaStatus } from '../kernel/runner.ts';
import type { PassReport } from '../reconcile/index.ts';
import { slowSagas } from './slow-sagas.ts';

type SeenGuest = PassReport['observation']['seen'] extends ReadonlyMap<infer _, infer Seen> ? Seen : never;

export interface OverviewInput {
  readonly versions: { readonly agent: string; readonly node: string; readonly proxmox: string | undefined };
  readonly startedAt: number;
  readonly now: number;
  readonly policy: HostPolicy | undefined;
  readonly pass: PassReport | undefined;
  /**
   * Whether the pass still speaks for now. It does not when another desired state came in since, when the policy does
   * not read, or when passes break off: what was true then is then no claim about now.
   */
  readonly passHolds: boolean;
  readonly sagas: readonly SagaStatus[];
  /** Step names of a saga's definition, in order. */
  readonly stepsOf: (saga: Pick<SagaStatus, 'name' | 'version'>) => readonly string[];
  readonly blocked: readonly SeenBlockedAction[];
  /** Of the node check and of the source of desired state. */
  readonly findings: readonly Finding[];
  /** Jobs, trust, break-glass and the end of the audit log. */
  readonly signed: Pick<ReportFacts, 'jobs' | 'trust' | 'breakGlass' | 'consents' | 'releases' | 'audit'>;
  /** What there is to restore from, and how good it is. */
  readonly protection: Pick<ReportFacts, 'backups' | 'bulk' | 'copies' | 'restoreTests' | 'restores' | 'queue'>;
  /** Of the host itself: its targets, its disks, its tunnel. */
  readonly host: Pick<ReportFacts, 'targets' | 'disks' | 'tunnel' | 'tunnelDeclared'>;
  readonly strangers: ReportFacts['strangers'];
  readonly records: readonly GuestRecord[];
  /** What going on with a parked saga would give up. */
  readonly lossOf: (saga: string) => readonly string[] | undefined;
}

export function reportFacts(input: OverviewInput): ReportFacts {
  const { pass, sagas, versions } = input;
  const { proxmox, ...known } = versions;
  const open = sagas.filter((saga) => saga.parked === undefined);
  return {
    versions: { ...known, ...(proxmox === undefined ? {} : { proxmox }) },
    startedAt: input.startedAt,
    ...(pass === undefined ? {} : { lastPassAt: pass.at }),
    converged: pass?.converged === true && input.passHolds && open.length === 0,
    hold: input.policy?.hold.host === true,
    guests: (pass?.guests ?? []).map(({ name, uid, vmid, status, drift, held }) => ({
      name,
      ...(uid === undefined ? {} : { uid }),
      ...(vmid === undefined ? {} : { vmid }),
      ...onRecord(input.records.find((record) => record.uid === uid)),
      ...(vmid === undefined ? {} : bulkOf(pass?.observation.seen.get(vmid))),
      status,
      drift: [...drift],
      pending: vmid === undefined ? [] : [...(pass?.observation.pending.get(vmid) ?? [])],
      held,
    })),
    sagas: open.map((saga) => {
      const steps = input.stepsOf(saga);
      return {
        ...named(saga),
        direction: saga.doing === 'unwinding' ? ('back' as const) : ('forward' as const),
        step: saga.step ?? 'waiting for its turn',
        stepIndex: Math.max(0, steps.indexOf(saga.step ?? '')),
        steps: Math.max(1, steps.length),
        ...(saga.progress?.fraction === undefined ? {} : { fraction: clamp(saga.progress.fraction) }),
        ...(saga.progress === undefined ? {} : { text: saga.progress.text }),
        startedAt: saga.since,
      };
    }),
    parked: sagas.flatMap((saga) =>
      saga.parked === undefined
        ? []
        : [
            {
              ...named(saga),
              step: saga.step ?? 'start',
              why: saga.parked.why,
              command: saga.parked.command,
              since: saga.parked.at,
              ...lossOf(input.lossOf(saga.id)),
            },
          ],
    ),
    findings: [
      ...input.findings,
      ...toldOnce(pass?.findings ?? [], input.findings),
      ...parkedTooLong(sagas, input.now),
      ...slowSagas(sagas, input.now),
    ],
    blocked: input.blocked.map(({ action }) => action),
    strangers: input.strangers,
    ...input.signed,
    ...input.protection,
    ...input.host,
  };
}

/** Of a guest that is not there, whoever looked closer knows more: the pass only says that it did not see it. */
function toldOnce(ofPass: readonly Finding[], others: readonly Finding[]): readonly Finding[] {
  const known = new Set(others.filter(({ key }) => aboutAbsence.has(key)).map(({ subject }) => subject));
  return ofPass.filter(({ key, subject }) => !absent.has(key) || !known.has(subject));
}

const absent: ReadonlySet<string> = new Set(['guest.missing', 'guest.not-visible']);
const aboutAbsence: ReadonlySet<string> = new Set([
  ...absent,
  'guest.lost',
  'guest.lost-without-backup',
  'guest.perhaps-lost',
  'guest.config-gone',
  'guest.destroyed-by-others',
]);

/** What a job about the guest has to name. */
function onRecord(record: GuestRecord | undefined) {
  if (record === undefined) return {};
  return { incarnation: record.incarnation, volumes: record.volumes.map(({ volid }) => volid).toSorted() };
}

/** What a restore has to carry over. Where the config was not read, or names what is no volume, nobody may guess. */
function bulkOf(seen: SeenGuest | undefined) {
  if (seen?.is !== 'present') return {};
  const bulk = seen.view.disks.flatMap(({ backup, volid }) => (backup ? [] : [volid])).toSorted();
  return bulk.every((volid) => volumeId.safeParse(volid).success) ? { bulkVolumes: bulk } : {};
}

const lossOf = (loss: readonly string[] | undefined) => (loss === undefined ? {} : { lossSet: [...loss] });

function named(saga: SagaStatus) {
  const guest = saga.lanes.find((lane) => lane.startsWith('guest:'))?.slice('guest:'.length);
  return { id: saga.id, name: saga.name, ...(guest === undefined ? {} : { guest: guest as GuestName }) };
}

const clamp = (fraction: number): number => Math.min(1, Math.max(0, fraction));

/** A parked saga that nobody resolves holds a guest's changes back [R34]. */
const parkedAlarmMs = 3_600_000;

function parkedTooLong(sagas: readonly SagaStatus[], now: number): Finding[] {
  return sagas.flatMap((saga): Finding[] => {
    const { parked } = saga;
    if (parked === undefined || now - parked.at < parkedAlarmMs) return [];
    return [
      {
        key: 'saga.parked-too-long',
        severity: 'critical',
        subject: saga.id,
        text: `${saga.name} has been parked for more than an hour: ${parked.why.text}`.slice(0, 1000),
        advice: { text: 'See to the cause, then let it go on.', command: parked.command },
        since: parked.at,
      },
    ];
  });
}

/** A reason as a finding of the host, e.g. a configuration that does not read. */
export function findingOf(key: string, why: Reason, now: number): Finding {
  return {
    key,
    severity: why.retry === 'later' ? 'warning' : 'critical',
    subject: 'host',
    text: why.text.slice(0, 1000),
    advice: {
      text: explain(why.code)?.advice ?? 'Run felhom-agent doctor on the host.',
      command: 'felhom-agent doctor',
    },
    since: now,
  };
}
