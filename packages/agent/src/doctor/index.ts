/**
 * The doctor: can this host do what it is asked to do, and if not, what is the one thing to mend first.
 *
 * Owns the list of checks and their wording. Never changes anything. Each check is independent: one that cannot be
 * made says so, and the others go on.
 */
import type { Reason } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { Clock } from '../kernel/clock.ts';
import type { HostFacts, NodeLogin } from '../ports/host-facts.ts';
import { findingsOf } from '../node-check/index.ts';
import type { NodeCheck } from '../node-check/index.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { NodeFacts, StorageRow, Stores } from '../ports/proxmox.ts';
import type { SignedHelper } from '../ports/signed-helper.ts';
import { checkHostItself } from './host-checks.ts';
import { checkRootsThings } from './root-checks.ts';
import type { RootNeeds } from './root-checks.ts';

export type { DeclaredStorage } from './root-checks.ts';

export interface CheckResult {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly text: string;
  /** What to do next; absent when all is well. */
  readonly advice?: string;
}

export interface DoctorNeeds extends Pick<RootNeeds, 'tokenId' | 'declared' | 'rootChecks'> {
  readonly clock: Pick<Clock, 'now'>;
  readonly policy: HostPolicy;
  readonly node: NodeFacts;
  readonly stores: Stores;
  readonly helper: HostHelper | undefined;
  readonly signedHelper: Pick<SignedHelper, 'breakGlassShow'> | undefined;
  readonly nodeCheck: (signal: AbortSignal) => Promise<NodeCheck>;
  readonly login: NodeLogin;
  /** Absent where the agent does not run on its node. */
  readonly host: HostFacts | undefined;
}

/** How far the node's clock may be from ours before task searches and archive names become ambiguous. */
const clockToleranceSeconds = 30;

export async function examine(needs: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const parts = await Promise.all([
    checkProxmox(needs, signal),
    checkClock(needs, signal),
    checkStorages(needs, signal),
    checkGoldens(needs, signal),
    checkHelper(needs, signal),
    checkSignedHelper(needs, signal),
    checkHostItself(needs, signal),
    checkRootsThings(needs, signal),
  ]);
  return parts.flat();
}

async function checkClock({ node, clock }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const time = await node.time(signal);
  if (time.is !== 'done') return [cannot('clock', time.why)];
  const apart = Math.round(Math.abs(time.value - clock.now() / 1000));
  if (apart <= clockToleranceSeconds)
    return [{ check: 'clock', verdict: 'ok', text: `${apart} s apart from the node's clock` }];
  return [
    {
      check: 'clock',
      verdict: 'failed',
      text: `this clock and the node's are ${apart} s apart`,
      advice: 'check time synchronisation: timedatectl status',
    },
  ];
}

async function checkProxmox({ nodeCheck, clock }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const node = await nodeCheck(signal);
  if (node.is === 'not-checked') return [cannot('proxmox', node.why)];
  const findings = findingsOf(node, clock.now());
  const answers: CheckResult = { check: 'proxmox', verdict: 'ok', text: `Proxmox VE ${node.version} answers` };
  if (findings.length === 0)
    return [
      answers,
      { check: 'permissions', verdict: 'ok', text: 'the token has what it needs and nothing dangerous' },
    ];
  return [
    answers,
    ...findings.map(({ severity, text, advice }): CheckResult => ({
      check: 'permissions',
      verdict: severity === 'info' ? 'warning' : 'failed',
      text,
      advice: advice.command ?? advice.text,
    })),
  ];
}

async function checkStorages({ stores, policy }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const rows = await stores.list(signal);
  if (rows.is !== 'done') return [cannot('storage', rows.why)];
  return policy.storages.map((id) =>
    judgeStorage(
      id,
      rows.value.find((row) => row.storage === id),
    ),
  );
}

function judgeStorage(id: string, row: StorageRow | undefined): CheckResult {
  const check = `storage ${id}`;
  if (row === undefined)
    return {
      check,
      verdict: 'failed',
      text: `the policy names storage ${id}, the token does not see it`,
      advice: 'define the storage, or put it into the pool of the agent so that the token may see it',
    };
  if (!row.enabled || !row.active)
    return {
      check,
      verdict: 'failed',
      text: `storage ${id} is ${row.enabled ? 'not active' : 'disabled'}`,
      advice: `look at it on the host: pvesm status --storage ${id}`,
    };
  if (!row.content.includes('rootdir'))
    return {
      check,
      verdict: 'failed',
      text: `storage ${id} does not take guest volumes (content ${row.content.join(',')})`,
      advice: `run as root: pvesm set ${id} --content ${[...row.content, 'rootdir', 'images'].join(',')}`,
    };
  return { check, verdict: 'ok', text: `${(row.availableBytes / 2 ** 30).toFixed(1)} GiB free` };
}

async function checkGoldens({ stores, policy }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const [id, golden] of Object.entries(policy.goldens)) {
    const check = `golden ${id}`;
    const storage = golden.archive.slice(0, golden.archive.indexOf(':')) as StorageRow['storage'];
    const items = await stores.contents(storage, { content: 'backup' }, signal);
    if (items.is !== 'done') {
      results.push(cannot(check, items.why));
      continue;
    }
    const item = items.value.find((entry) => entry.volid === golden.archive);
    if (item === undefined)
      results.push({
        check,
        verdict: 'failed',
        text: `${golden.archive} is not listed on ${storage}`,
        advice: 'place the archive again; if it is there, its owner id is not in the pool of the agent',
      });
    else if (item.sizeBytes !== golden.sizeBytes)
      results.push({
        check,
        verdict: 'failed',
        text: `${golden.archive} has ${item.sizeBytes} bytes, the policy expects ${golden.sizeBytes}`,
        advice: 'somebody replaced the archive: find out who, then place the admitted one again',
      });
    else results.push({ check, verdict: 'ok', text: `${golden.archive} is as registered` });
  }
  return results;
}

const rootAdvice =
  'see whether root is asked at all: systemctl status felhom-root.socket; the reason is in journalctl -u felhom-root@*';

async function checkHelper({ helper, policy }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  if (helper === undefined)
    return [
      {
        check: 'helper',
        verdict: 'warning',
        text: 'no root helper is configured',
        advice: 'without it what a killed worker leaves behind is parked; set helper.command in the configuration',
      },
    ];
  const volumes = await helper.volumesOf(policy.vmids.scratch.from, signal);
  if (volumes.is !== 'done') return [{ ...cannot('helper', volumes.why), advice: rootAdvice }];
  return [{ check: 'helper', verdict: 'ok', text: 'the root helper answers' }];
}

const withoutSignedHelper =
  'break-glass stays closed, and a signed change of trust is applied by root: felhom-agent trust apply FILE';

/** Looks whether break-glass is open: the one thing that root's program tells without changing anything. */
async function checkSignedHelper({ signedHelper }: DoctorNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const check = 'signed helper';
  if (signedHelper === undefined) {
    const text = 'no program of root for what operators sign is configured';
    return [
      {
        check,
        verdict: 'warning',
        text,
        advice: `until helper or signedHelper is set in the configuration, ${withoutSignedHelper}`,
      },
    ];
  }
  const shown = await signedHelper.breakGlassShow(signal);
  if (shown.is === 'done') {
    const glass = shown.value === undefined ? 'closed' : `open until ${new Date(shown.value.until).toISOString()}`;
    return [{ check, verdict: 'ok', text: `root's program answers; break-glass is ${glass}` }];
  }
  // The program that is configured may be one for other verbs.
  if (shown.why.code === 'helper.refused')
    return [
      {
        check,
        verdict: 'warning',
        text: shown.why.text,
        advice: `see to what it says; until then ${withoutSignedHelper}`,
      },
    ];
  return [{ ...cannot(check, shown.why), advice: rootAdvice }];
}

function cannot(check: string, why: Reason): CheckResult {
  return { check, verdict: 'failed', text: why.text };
}
