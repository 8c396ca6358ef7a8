/** `felhom-agent`: the commands on the host. Everything but `run` talks to the running agent over its admin socket. */
import { fstatSync } from 'node:fs';
import { Argument, Command } from 'commander';
import type { AdminRoutes } from '../admin-socket/server.ts';
import { askAgent } from '../admin-socket/client.ts';
import type { AgentStatus } from '../admin-socket/status.ts';
import { loadFile } from '../adapters/config-file/index.ts';
import type { Loaded } from '../adapters/config-file/index.ts';
import type { PlannedEffect } from '../open-work.ts';
import { agentConfig } from '../config.ts';
import type { AgentConfig } from '../config.ts';
import {
  completionScript,
  completionShells,
  createStyle,
  renderFacts,
  renderReport,
  reportFacts,
  wantsColour,
} from '@felhom/terminal';
import type { CompletionShell } from '@felhom/terminal';
import { agentVersion } from '../version.ts';
import { diagnose } from './diagnose.ts';
import { enrolmentText } from './enrolment.ts';
import { addIdentity } from './identity.ts';
import { defaultAdminSocket, defaultConfigFile, hostKeyDirectory } from './locations.ts';
import type { JournaledSaga } from './open-host.ts';
import { renderChecks, renderJournal, renderPlan } from './render.ts';
import { addSignedCommands } from './signed-commands.ts';
import { addStorageOfHost } from './storage-of-host.ts';
import { addTrust } from './trust.ts';

export interface ProgramIo {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends `run` and `status --watch`. */
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** 0 done · 1 failed, or something is wrong with the host · 2 usage · 3 the agent does not run. */
const exits = { failed: 1, notRunning: 3 } as const;

/** Runs one command line, `argv` without program names. Resolves with the exit code; never throws for a user's error. */
export async function runAgentProgram(argv: readonly string[], io: ProgramIo): Promise<number> {
  let exit = 0;
  const style = createStyle(wantsColour(io.stdout.isTTY, io.env));
  const program = new Command('felhom-agent')
    .description('the host agent of Felhom')
    .option('--config <file>', 'configuration file', io.env['FELHOM_AGENT_CONFIG'] ?? defaultConfigFile)
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .exitOverride();

  const fail = (text: string, code: number = exits.failed): undefined => {
    io.stderr.write(`felhom-agent: ${text}\n`);
    exit = code;
    return undefined;
  };
  const socketFile = (): string => {
    const config = loadFile(program.opts<{ config: string }>().config, agentConfig);
    return config.is === 'loaded' ? config.value.adminSocket : defaultAdminSocket;
  };
  const ask = async (route: keyof AdminRoutes, query = '', body = ''): Promise<unknown> => {
    let answer = await askAgent(socketFile(), route, query, body);
    // An agent that looks at its configuration again is away for a moment, and so is one that starts.
    for (let tries = 0; answer.is === 'not-running' && tries < 4; tries += 1) {
      await io.sleep(250);
      answer = await askAgent(socketFile(), route, query, body);
    }
    switch (answer.is) {
      case 'answered':
        return answer.body;
      case 'not-running':
        return fail(
          `cannot reach the agent at ${socketFile()}: it is not running; start it with: felhom-agent run`,
          exits.notRunning,
        );
      case 'forbidden':
        return fail(`cannot open ${socketFile()}: only root and the agent's own user may; try with sudo`);
      case 'failed':
        return fail(answer.why);
    }
  };
  const show = async <T>(
    route: keyof AdminRoutes,
    options: { readonly json?: boolean },
    render: (body: T) => string,
    query = '',
  ): Promise<T | undefined> => {
    const body = (await ask(route, query)) as T | undefined;
    if (body === undefined) return undefined;
    io.stdout.write(options.json === true ? `${JSON.stringify(body, undefined, 2)}\n` : render(body));
    return body;
  };
  const renderStatus = (status: AgentStatus): string =>
    status.is === 'degraded'
      ? `${style.paint('bad', 'degraded')}  ${status.why.text}\nNothing is changed; the agent looks again every few seconds.\n`
      : renderFacts(
          [['desired state', status.source], ...reportFacts(status.report, io.now(), style, status.vitals)],
          style,
        ) +
        '\n' +
        renderReport(status.report, {
          now: io.now(),
          style,
          blockedAdvice: 'take the change back in desired state, or have an operator approve it: felhom approve',
        });

  program
    .command('run')
    .description('run the agent until stopped (what the service does)')
    .action(async () => {
      // Only here: the other commands talk to a running agent and need none of what it is made of.
      const { runService } = await import('./run.ts');
      const { openLogSocket, openSupervisor } = await import('../adapters/sd-notify/index.ts');
      exit = await runService(program.opts<{ config: string }>().config, io.stdout, io.signal, {
        supervisor: openSupervisor(io.env, process.pid),
        journal: openLogSocket(io.env, fstatSync(1)),
      });
    });
  program
    .command('status')
    .description('guests, work in progress, findings, blocked actions and what to do about them')
    .option('--json', 'print JSON')
    .option('--watch', 'show it again every second until interrupted')
    .action(async (options: { readonly json?: boolean; readonly watch?: boolean }) => {
      for (;;) {
        if (options.watch === true && io.stdout.isTTY) io.stdout.write('\u001B[2J\u001B[H');
        const status = await show<AgentStatus>('GET /v1/status', options, renderStatus);
        if (status?.is === 'degraded') exit = exits.failed;
        if (options.watch !== true || status === undefined || io.signal.aborted) return;
        await io.sleep(1000);
      }
    });
  program
    .command('metrics')
    .description('print the metrics of this host as Prometheus text')
    .action(async () => {
      const status = (await ask('GET /v1/status')) as AgentStatus | undefined;
      if (status?.is === 'degraded') fail(`cannot tell the metrics: ${status.why.text}`);
      else if (status !== undefined) {
        const { renderMetrics } = await import('../overview/metrics.ts');
        io.stdout.write(renderMetrics(status.report, io.now(), status.vitals));
      }
    });
  program
    .command('plan')
    .description('what the next pass would do, with the verdict of the gate; does nothing')
    .option('--json', 'print JSON')
    .action(async (options: { readonly json?: boolean }) => {
      await show<readonly PlannedEffect[]>('GET /v1/plan', options, (effects) => renderPlan(effects, style));
    });
  program
    .command('doctor')
    .description('check what the agent needs, and name the one thing to mend first')
    .option('--json', 'print JSON')
    .action(async (options: { readonly json?: boolean }) => {
      const checks = await diagnose(program.opts<{ config: string }>().config, socketFile(), io.signal);
      io.stdout.write(
        options.json === true ? `${JSON.stringify(checks, undefined, 2)}\n` : renderChecks(checks, style),
      );
      if (checks.some((check) => check.verdict === 'failed')) exit = exits.failed;
    });
  program
    .command('tunnel')
    .description('the tunnel to the guests')
    .command('show')
    .description('what it may let in, and what it lets in now')
    .action(async () => {
      const { showTunnel } = await import('./tunnel-show.ts');
      const shown = await showTunnel(program.opts<{ config: string }>().config, io.signal);
      if (shown.is === 'bad') fail(shown.text);
      else io.stdout.write(shown.text);
    });
  const journal = program
    .command('journal')
    .description('the newest sagas and how they ended')
    .option('--json', 'print JSON')
    .option('--limit <n>', 'how many', '30')
    .action(async (options: { readonly json?: boolean; readonly limit: string }) => {
      await show<readonly JournaledSaga[]>(
        'GET /v1/journal',
        options,
        (sagas) => renderJournal(sagas, io.now(), style),
        `?limit=${encodeURIComponent(options.limit)}`,
      );
    });
  for (const [verb, text] of [
    ['resume', 'let a parked saga go on'],
    ['abandon', 'end a parked saga as it stands; what it left is yours'],
  ] as const)
    journal
      .command(verb)
      .description(text)
      .argument('<saga>')
      .action(async (saga: string) => {
        const answer = (await ask(`POST /v1/${verb}`, `?saga=${encodeURIComponent(saga)}`)) as
          { readonly is: string; readonly why?: { readonly text: string } } | undefined;
        if (answer === undefined) return;
        if (answer.why !== undefined) fail(answer.why.text);
        else io.stdout.write(`${saga}: ${verb === 'resume' ? 'goes on' : 'ended as it stands'}\n`);
      });
  program
    .command('enrolment')
    .description('print what root runs once on the node, from the policy file; runs nothing')
    .option('--user <name>', 'user that the token belongs to', 'felhom-agent@pve')
    .action((options: { readonly user: string }) => {
      const text = enrolmentText(program.opts<{ config: string }>().config, options.user);
      if (text.is === 'bad') fail(text.why.text);
      else io.stdout.write(text.value);
    });
  const config = (): Loaded<AgentConfig> => loadFile(program.opts<{ config: string }>().config, agentConfig);
  const told = {
    print: (text: string) => void io.stdout.write(text),
    fail: (text: string): void => {
      fail(text);
    },
    style,
  };
  addIdentity(program, {
    ...told,
    identityOf: () => {
      const loaded = config();
      if (loaded.is === 'bad') return loaded;
      return { is: 'loaded', value: { host: loaded.value.host, keyDirectory: hostKeyDirectory(loaded.value) } };
    },
  });
  addTrust(program, {
    ...told,
    now: io.now,
    signal: io.signal,
    trustOf: config,
    resetClock: () => ask('POST /v1/reset-clock'),
    uid: process.getuid?.(),
    // Only when it is asked for: what root runs for the agent must not depend on the agent's configuration.
    get rootUid() {
      const loaded = config();
      return loaded.is === 'loaded' ? loaded.value.trustOwner : 0;
    },
  });
  addSignedCommands(program, { ...told, now: io.now, ask });
  addStorageOfHost(program, { ...told, now: io.now });
  program
    .command('root-verb')
    .description(
      "one request to root, read from stdin and answered on stdout; for the agent's sudo rule, not for people",
    )
    .action(async () => {
      const { enterRoot, runRootVerb, hostRoot } = await import('./root-verb.ts');
      enterRoot();
      exit = await runRootVerb({ stdin: process.stdin, stdout: io.stdout, stderr: io.stderr }, hostRoot(), io.signal);
    });
  program
    .command('wake')
    .description('ask for a pass now instead of at the next interval')
    .action(async () => {
      if ((await ask('POST /v1/wake')) !== undefined) io.stdout.write('a pass begins\n');
    });
  program
    .command('version')
    .description('print the version')
    .option('--json', 'print JSON')
    .action((options: { readonly json?: boolean }) => {
      const facts = { version: agentVersion, node: process.versions.node };
      io.stdout.write(
        options.json === true ? `${JSON.stringify(facts)}\n` : `felhom-agent ${agentVersion} (node ${facts.node})\n`,
      );
    });
  program
    .command('self-test')
    .description('whether this program is whole and runs here; opens nothing of this host. For the trial of a slot')
    .action(async () => {
      const { selfTest } = await import('./self-test.ts');
      const trouble = await selfTest();
      if (trouble === undefined) io.stdout.write(`felhom-agent ${agentVersion}: whole\n`);
      else fail(`cannot run here: ${trouble}`);
    });
  program
    .command('completion')
    .description('print a completion script for bash, zsh or fish')
    .addArgument(new Argument('<shell>').choices(completionShells))
    .action((shell: CompletionShell) => {
      io.stdout.write(completionScript(shell, program));
    });

  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Commander has printed what is wrong; help and version end with 0.
    const code = (error as { readonly exitCode?: number }).exitCode;
    if (code === undefined) throw error;
    return code === 0 ? 0 : 2;
  }
  return exit;
}
