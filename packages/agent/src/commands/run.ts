/**
 * `felhom-agent run`: the agent as a service. On a configuration, policy or journal that does not read it does not
 * exit: it says so in the log and on the admin socket, changes nothing, and looks again. Only a second agent on the
 * same state directory is sent away.
 */
import { systemClock, systemRandom } from '../adapters/system-clock/index.ts';
import { createLog } from '../adapters/log/index.ts';
import type { AgentStatus } from '../admin-socket/status.ts';
import { openAdminSocket, SocketTaken } from '../admin-socket/server.ts';
import type { AdminRoutes, AdminSocket } from '../admin-socket/server.ts';
import { agentConfig } from '../config.ts';
import type { AgentConfig } from '../config.ts';
import { loadFile } from '../adapters/config-file/index.ts';
import { JournalError } from '../kernel/index.ts';
import type { Clock, JournalErrorCode } from '../kernel/index.ts';
import type { Log } from '../ports/log.ts';
import type { LogSocket, Supervisor } from '../ports/supervisor.ts';
import { nobody } from '../adapters/sd-notify/index.ts';
import type { ErrorCode, Reason } from '@felhom/protocol';
import { reason } from '@felhom/protocol';
import { localFacts } from './local-facts.ts';
import { defaultAdminSocket } from './locations.ts';
import { openHost } from './open-host.ts';
import type { OpenHost } from './open-host.ts';
import { createGuestDoor } from './serve-guests.ts';
import { serveMetrics } from './serve-metrics.ts';
import { superviseAgent, superviseDegraded } from './supervise.ts';
import { agentVersion, versionIn } from '../version.ts';

type LogSink = Parameters<typeof createLog>[1];

const lookAgainMs = 5_000;

/** What the process ends with; systemd restarts on anything but 0. */
export const exitCodes = { stopped: 0, halted: 70, secondAgent: 73 } as const;

type Attempt =
  | { readonly is: 'stopped' }
  /** Begin again with a fresh look at everything. */
  | { readonly is: 'halted'; readonly why: Reason }
  | { readonly is: 'degraded'; readonly why: Reason; readonly config: AgentConfig | undefined }
  | { readonly is: 'second-agent'; readonly why: Reason };

/** Who started the service, and where its log goes besides `out`. */
export interface ServiceOf {
  readonly supervisor: Supervisor;
  readonly journal: LogSocket | undefined;
}

export async function runService(
  configFile: string,
  out: LogSink,
  signal: AbortSignal,
  { supervisor, journal }: ServiceOf = { supervisor: nobody(), journal: undefined },
): Promise<number> {
  const clock = systemClock();
  const log = createLog(clock, out, journal);
  let told: string | undefined;
  while (!signal.aborted) {
    const attempt = await attemptRun(configFile, clock, log, supervisor, signal);
    if (attempt.is === 'stopped') break;
    if (attempt.is === 'second-agent') {
      log.error(attempt.why.text, { code: attempt.why.code });
      return exitCodes.secondAgent;
    }
    if (attempt.is === 'halted') return exitCodes.halted;
    if (told !== attempt.why.text) log.error(attempt.why.text, { code: attempt.why.code, state: 'degraded' });
    told = attempt.why.text;
    await waitDegraded(attempt.why, attempt.config?.adminSocket ?? defaultAdminSocket, clock, supervisor, signal);
  }
  return exitCodes.stopped;
}

async function attemptRun(
  configFile: string,
  clock: Clock,
  log: Log,
  supervisor: Supervisor,
  signal: AbortSignal,
): Promise<Attempt> {
  const config = loadFile(configFile, agentConfig);
  if (config.is === 'bad') return { is: 'degraded', why: config.why, config: undefined };
  const halt = new AbortController();
  const door = createGuestDoor(config.value, clock, log);
  let host: OpenHost;
  try {
    const opened = openHost(config.value, {
      clock,
      random: systemRandom(),
      log,
      onHalt: (why) => halt.abort(why),
      localContact: () => door.contact(),
    });
    if (opened.is === 'bad') return { is: 'degraded', why: opened.why, config: config.value };
    host = opened.host;
  } catch (error) {
    return { ...journalTrouble(error), config: config.value };
  }
  const { agent } = host;
  let socket: AdminSocket | undefined;
  try {
    socket = await openAdminSocket(config.value.adminSocket, routesOf(host));
  } catch (error) {
    const why = reason('config.invalid', error instanceof Error ? error.message : String(error));
    if (error instanceof SocketTaken) {
      await agent.stop();
      await host.close();
      return { is: 'second-agent', why };
    }
    // Guests are looked after without it; only the commands on this host have nobody to ask.
    log.error(why.text, { code: why.code });
  }
  log.info('agent started', { version: versionIn(import.meta.dirname), host: config.value.host });
  agent.start();
  const until = AbortSignal.any([signal, halt.signal]);
  const served = Promise.all([
    door.serve(agent, until),
    serveMetrics(config.value, agent, { clock, log, signal: until }),
  ]);
  const facts = () => localFacts(agent.report(), 'hub' in config.value.desired, door.serving());
  await superviseAgent(agent, { supervisor, clock, log, facts }, until);
  supervisor.stopping();
  await served;
  await agent.stop();
  await socket?.close();
  await host.close();
  log.info('agent stopped');
  return halt.signal.aborted ? { is: 'halted', why: halt.signal.reason as Reason } : { is: 'stopped' };
}

/** A full disk is no damage: nobody should go looking for a backup of the journal because of it. */
const troubles = {
  'journal-locked': 'journal.locked',
  'journal-damaged': 'journal.damaged',
  'journal-newer': 'journal.newer',
  'journal-fenced': 'journal.locked',
  'journal-io': 'journal.full',
} as const satisfies Record<JournalErrorCode, ErrorCode>;

function journalTrouble(error: unknown): { is: 'second-agent' | 'degraded'; why: Reason } {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof JournalError && error.code === 'journal-locked')
    return { is: 'second-agent', why: reason('journal.locked', text) };
  return {
    is: 'degraded',
    why: reason(error instanceof JournalError ? troubles[error.code] : 'journal.damaged', text),
  };
}

function routesOf(host: OpenHost): AdminRoutes {
  const { agent } = host;
  return {
    'GET /v1/status': (): AgentStatus => ({
      is: 'running',
      report: agent.report(),
      source: host.describeSource(),
      vitals: agent.vitals(),
    }),
    'GET /v1/plan': (signal) => agent.preview(signal),
    'GET /v1/doctor': (signal) => host.examine(signal),
    'GET /v1/journal': (limit) => host.journalView(limit),
    'GET /v1/version': () => ({ version: agentVersion, node: process.versions.node }),
    'GET /v1/statement': () => agent.statement(),
    'GET /v1/audit': (from) => agent.auditFrom(from),
    'GET /v1/consents': () => agent.consents(),
    'POST /v1/envelope': (text) => {
      agent.takeEnvelope(text);
      return { taken: true };
    },
    'POST /v1/reset-clock': () => {
      agent.resetClock();
      return { reset: true };
    },
    'POST /v1/break-glass-close': async (signal) => outcomeOf(await agent.closeBreakGlass(signal)),
    'POST /v1/consent': (guest, given) => outcomeOf(agent.recordConsent(guest, given)),
    'POST /v1/wake': () => {
      agent.wake();
      return { woken: true };
    },
    'POST /v1/resume': (saga) => outcomeOf(agent.resumeSaga(saga, 'root at the host')),
    'POST /v1/abandon': (saga) => outcomeOf(agent.abandonSaga(saga, 'root at the host')),
  };
}

const outcomeOf = (outcome: { readonly is: string; readonly why?: Reason }): unknown =>
  outcome.why === undefined ? { is: outcome.is } : { is: outcome.is, why: outcome.why };

/** Answers `status` with the trouble until it is time to look again. */
async function waitDegraded(
  why: Reason,
  socketFile: string,
  clock: Clock,
  supervisor: Supervisor,
  signal: AbortSignal,
): Promise<void> {
  const status: AgentStatus = { is: 'degraded', why };
  const refuse = (): never => {
    throw new Error(why.text);
  };
  let socket: AdminSocket | undefined;
  try {
    socket = await openAdminSocket(socketFile, {
      'GET /v1/status': () => status,
      'GET /v1/plan': refuse,
      'GET /v1/doctor': () => Promise.resolve([{ check: 'start', verdict: 'failed', text: why.text }]),
      'GET /v1/journal': refuse,
      'GET /v1/version': () => ({ version: agentVersion, node: process.versions.node }),
      'GET /v1/statement': refuse,
      'GET /v1/audit': refuse,
      'GET /v1/consents': refuse,
      'POST /v1/envelope': refuse,
      'POST /v1/reset-clock': refuse,
      'POST /v1/break-glass-close': refuse,
      'POST /v1/consent': refuse,
      'POST /v1/wake': refuse,
      'POST /v1/resume': refuse,
      'POST /v1/abandon': refuse,
    });
  } catch {
    // The socket is a convenience here; the log has said what is wrong.
    socket = undefined;
  }
  await superviseDegraded(why, lookAgainMs, { supervisor, clock }, signal);
  await socket?.close();
}
