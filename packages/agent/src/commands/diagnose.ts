/**
 * `felhom-agent doctor`: the running agent's own checks; without one the same checks made here, because a doctor is
 * wanted most when nothing starts.
 */
import { askAgent } from '../admin-socket/client.ts';
import { loadFile } from '../adapters/config-file/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import { agentConfig } from '../config.ts';
import type { CheckResult } from '../doctor/index.ts';

export async function diagnose(
  configFile: string,
  socketFile: string,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  const answer = await askAgent(socketFile, 'GET /v1/doctor');
  if (answer.is === 'answered') {
    const agent: CheckResult = { check: 'agent', verdict: 'ok', text: 'the agent runs' };
    return [agent, ...(answer.body as readonly CheckResult[])];
  }
  const config = loadFile(configFile, agentConfig);
  if (config.is === 'bad')
    return [absent[answer.is], { check: 'configuration', verdict: 'failed', text: config.why.text }];
  // Loaded only here: the other commands start without HTTP clients and the journal.
  const { examineAlone } = await import('./open-host.ts');
  return [absent[answer.is], ...(await examineAlone(config.value, systemClock(), signal))];
}

const absent: Readonly<Record<'not-running' | 'forbidden' | 'failed', CheckResult>> = {
  'not-running': {
    check: 'agent',
    verdict: 'warning',
    text: 'the agent does not run; these checks were made without it',
    advice: 'start it once the checks below are good: felhom-agent run',
  },
  forbidden: {
    check: 'agent',
    verdict: 'warning',
    text: 'the agent runs, and this user may not ask it; these checks were made without it',
    advice: 'run the doctor as root',
  },
  failed: {
    check: 'agent',
    verdict: 'warning',
    text: 'the agent runs and could not answer; these checks were made without it',
    advice: 'felhom-agent status, and its log, say what it is doing',
  },
};
