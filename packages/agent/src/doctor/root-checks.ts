/**
 * Of what root keeps for the agent: that its policy is about this agent's token, that it can open what it sealed, that each
 * declared disk is mounted again after a restart of the host, and that the fence of the tunnel is loaded.
 */
import type { Reason } from '@felhom/protocol';
import { tunnelUnit } from '../monitoring/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { HostFacts } from '../ports/host-facts.ts';
import type { RootChecks } from '../ports/root-checks.ts';
import type { CheckResult } from './index.ts';

/** What root declared, as far as the doctor looks at it. */
export type DeclaredStorage =
  | {
      readonly is: 'declared';
      /** Disks in use, with their mount units. */
      readonly disks: readonly { readonly target: string; readonly unit: string }[];
      /** Names of the targets in use that need a credential. */
      readonly sealed: readonly string[];
    }
  | { readonly is: 'unreadable'; readonly why: Reason };

export interface RootNeeds {
  readonly policy: Pick<HostPolicy, 'token'>;
  /** `user@realm!token` that the agent logs in with. */
  readonly tokenId: string;
  readonly declared: () => DeclaredStorage;
  readonly rootChecks: RootChecks | undefined;
  readonly host: HostFacts | undefined;
}

export async function checkRootsThings(needs: RootNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const declared = needs.declared();
  const storage =
    declared.is === 'unreadable'
      ? [
          {
            check: 'declared targets',
            verdict: 'failed' as const,
            text: declared.why.text,
            advice: 'mend the file as root, or put it back from a copy; until then no target is used',
          },
        ]
      : [
          ...(await checkMountUnits(declared.disks, needs.host, signal)),
          ...(await checkSealed(declared.sealed, needs.rootChecks, signal)),
        ];
  return [checkToken(needs), ...storage, ...(await checkLoadedFence(needs, signal))];
}

/** Root clears what the tasks of this token left, and of no other. */
function checkToken({ policy, tokenId }: RootNeeds): CheckResult {
  const check = 'token of the policy';
  if (policy.token === tokenId) return { check, verdict: 'ok', text: `the policy is for ${tokenId}` };
  return {
    check,
    verdict: 'failed',
    text: `the policy names token ${policy.token}, the agent logs in with ${tokenId}: root clears nothing that it leaves`,
    advice: `write token: '${tokenId}' into the policy file as root`,
  };
}

async function checkMountUnits(
  disks: readonly { readonly target: string; readonly unit: string }[],
  host: HostFacts | undefined,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  if (host === undefined || disks.length === 0) return [];
  const units = await host.units(
    disks.map(({ unit }) => unit),
    signal,
  );
  if (units.is !== 'done') return [{ check: 'mount units', verdict: 'skipped', text: units.why.text }];
  return disks.map(({ target, unit }): CheckResult => {
    const check = `mount unit of ${target}`;
    const found = units.value.find((one) => one.unit === unit);
    if (found?.load === 'loaded' && found.file.startsWith('enabled'))
      return { check, verdict: 'ok', text: 'it is mounted again after a restart of the host' };
    const state = found?.load !== 'loaded' ? 'not there' : found.file === '' ? 'not enabled' : found.file;
    return {
      check,
      verdict: 'failed',
      text: `its unit is ${state}: after a restart of the host the disk is not mounted`,
      advice: `let the agent mount it (felhom-agent status says what is in the way), or: systemctl enable '${unit}'`,
    };
  });
}

async function checkSealed(
  sealed: readonly string[],
  root: RootChecks | undefined,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  if (root === undefined) return [];
  const results: CheckResult[] = [];
  for (const target of sealed) {
    const check = `credential of ${target}`;
    const opened = await root.credentialTest(target, signal);
    results.push(
      opened.is === 'done'
        ? { check, verdict: 'ok', text: 'root can open it' }
        : {
            check,
            verdict: opened.is === 'refused' && opened.why.code === 'helper.refused' ? 'skipped' : 'failed',
            text: opened.why.text,
            advice:
              'another TPM or another disk cannot open what this one sealed; give it again as root: felhom-agent storage credential NAME',
          },
    );
  }
  return results;
}

async function checkLoadedFence({ host, rootChecks }: RootNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  if (host === undefined || rootChecks === undefined) return [];
  const units = await host.units([tunnelUnit], signal);
  if (units.is !== 'done' || units.value[0]?.active !== 'active') return [];
  const check = 'fence of the tunnel by port';
  const loaded = await rootChecks.tunnelFence(signal);
  if (loaded.is !== 'done') return [{ check, verdict: 'skipped', text: loaded.why.text }];
  if (loaded.value) return [{ check, verdict: 'ok', text: 'it is loaded' }];
  return [
    {
      check,
      verdict: 'failed',
      text: 'it is not loaded, while the tunnel runs: whatever its edge pushes may be reached at any port',
      advice: `somebody flushed the rules of nftables; load them again: systemctl restart ${tunnelUnit}`,
    },
  ];
}
