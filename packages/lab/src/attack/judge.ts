/**
 * Whether a trick got anything, judged from the node's side and from root's: bytes of configs and volumes, what was
 * started on the node, the trust document, break-glass, and every word that the agent said to the hub.
 */
import { digestOfText, digestOfTrust } from '@felhom/protocol';
import { ownTasks } from '../world/traces.ts';
import { minute } from './trick.ts';
import type { Target, Trick } from './trick.ts';

export interface Before {
  readonly node: readonly string[];
  /** Tasks of the agent's token so far. */
  readonly tasks: number;
  readonly trust: string;
  /** Whoever is held back: a hold denies. */
  readonly holds: string;
  /** What could be seen when the trick began. */
  readonly seen: { readonly auditCount: number; readonly findings: ReadonlySet<string> };
}

export function lookAt(target: Target): Before {
  const { world } = target;
  return {
    node: inventory(target),
    tasks: ownTasks(world).length,
    trust: trustOf(target),
    holds: holdsOf(target),
    seen: {
      auditCount: auditOf(target).length,
      findings: new Set(
        target
          .agent()
          .report()
          .findings.map(({ key, subject }) => `${key} ${subject}`),
      ),
    },
  };
}

/** What the hub got, in words; empty = nothing. */
export function gainsOf(trick: Trick, target: Target, before: Before, heard: readonly string[]): readonly string[] {
  const { world } = target;
  const now = inventory(target);
  const secret = world.token.slice(world.token.indexOf('=') + 1);
  const got: (string | undefined)[] = [
    ...before.node.filter((line) => !now.includes(line)).map((line) => `on the node there is no longer: ${line}`),
    ...now.filter((line) => !before.node.includes(line)).map((line) => `on the node there is now: ${line}`),
    ...ownTasks(world)
      .slice(0, ownTasks(world).length - before.tasks)
      .map(({ upid }) => `the agent started ${upid}`),
    trustOf(target) === before.trust ? undefined : 'the trust document is another one',
    holdsOf(target) === before.holds ? undefined : `holds were ${before.holds} and are ${holdsOf(target)}`,
    world.root.openUntil() === undefined ? undefined : 'break-glass is open',
    ...heard.filter((text) => text.includes(secret)).map(() => "the agent told the hub its node's secret"),
    world.clock.now() - (target.agent().report().lastPassAt ?? 0) < 3 * minute
      ? undefined
      : 'the agent has stopped looking after its guests',
    trick.judge?.(target),
  ];
  return got.filter((one) => one !== undefined);
}

/** What cannot be found of it afterwards; empty = everything is there. */
export function gapsOf(trick: Trick, target: Target, before: Before): readonly string[] {
  const { leaves } = trick;
  const report = target.agent().report();
  const entries = auditOf(target).slice(before.seen.auditCount);
  const findings = report.findings.filter(({ key, subject }) => !before.seen.findings.has(`${key} ${subject}`));
  if ('nothing' in leaves) return [];
  const shown = [...findings, ...report.jobs, ...report.blocked].map((one) => JSON.stringify(one));
  return [
    ...(entries.some((text) => leaves.audit.test(text))
      ? []
      : [`no entry of the audit log tells of it (${leaves.audit.source}); new ones: ${list(entries)}`]),
    ...(shown.some((text) => leaves.shown.test(text))
      ? []
      : [`nothing in the report tells of it (${leaves.shown.source}); there is: ${list(shown)}`]),
  ];
}

const list = (texts: readonly string[]): string =>
  texts.length === 0 ? 'none' : texts.map((text) => `\n      ${text.slice(0, 400)}`).join('');

/** One line per guest and per volume: bytes of the config, whether it runs, size and time of birth of each volume. */
function inventory({ world }: Target): readonly string[] {
  const { node, host } = world;
  return node.guests
    .ids()
    .toSorted((a, b) => a - b)
    .flatMap((vmid) => [
      `guest ${vmid} ${node.guests.isRunning(vmid) ? 'runs' : 'stands'} ${digestOfText(host.rawConfig(vmid) ?? '')}`,
      ...node.storage
        .volumesOf(vmid)
        .map(({ volid, sizeBytes, ctime }) => `volume ${volid} ${sizeBytes} ${ctime}`)
        .toSorted(),
    ]);
}

function trustOf({ world }: Target): string {
  const read = world.root.store.read();
  return read.is === 'held' ? digestOfTrust(read.document) : read.is;
}

function holdsOf(target: Target): string {
  const { hold, guests } = target.agent().report();
  return JSON.stringify([hold, guests.filter(({ held }) => held).map(({ name }) => name)]);
}

/** The audit log as the journal has it, across epochs. */
function auditOf({ world }: Target): readonly string[] {
  return world
    .disk()
    .facts('audit-chain', 20_000)
    .map((fact) => JSON.stringify(fact.body))
    .toReversed();
}
