/** What the health gate is told, from what the agent reports anyway. Pure. */
import type { Report } from '@felhom/protocol';
import type { LocalFacts } from '../ports/supervisor.ts';

/** Of an agent at work: its configuration read and its journal is open, or there would be none. */
export function localFacts(
  report: Pick<Report, 'versions' | 'lastPassAt' | 'findings'>,
  hasHub: boolean,
  localApi: LocalFacts['localApi'],
): LocalFacts {
  const { versions, lastPassAt, findings } = report;
  const found = (key: string): boolean => findings.some((finding) => finding.key === key);
  const looked = lastPassAt !== undefined;
  const reached = versions.proxmox !== undefined && !found('host.pass-failed');
  const hubAway = findings.some(({ subject }) => subject === 'hub');
  return {
    config: found('host.policy') ? 'no' : 'ok',
    journal: 'ok',
    proxmox: looked && reached ? 'ok' : looked || found('host.pass-failed') ? 'no' : 'unknown',
    localApi,
    hub: !hasHub ? 'off' : hubAway ? 'no' : looked ? 'ok' : 'unknown',
  };
}

/** Of one that cannot begin; `why` is the code of the reason. */
export function factsDegraded(why: string): LocalFacts {
  const journal = why.startsWith('journal.');
  return {
    config: journal ? 'ok' : 'no',
    journal: journal ? 'no' : 'unknown',
    proxmox: 'unknown',
    localApi: 'unknown',
    hub: 'unknown',
  };
}
