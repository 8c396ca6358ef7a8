/**
 * `felhom-agent tunnel show`: what operators signed the tunnel to let in, what cloudflared is started with, and what it
 * lets in now, which its edge may have changed. Reads only, and needs no agent that runs.
 */
import { ruleText } from '@felhom/protocol';
import { printable } from '@felhom/terminal';
import { loadFile } from '../adapters/config-file/index.ts';
import { createDeclaredIngress, createSignedRules, createTunnelEndpoint } from '../adapters/tunnel/index.ts';
import { agentConfig } from '../config.ts';
import type { IngressRule } from '../ports/tunnel.ts';

type Shown = { readonly is: 'shown'; readonly text: string } | { readonly is: 'bad'; readonly text: string };

export async function showTunnel(configFile: string, signal: AbortSignal): Promise<Shown> {
  const config = loadFile(configFile, agentConfig);
  if (config.is === 'bad') return { is: 'bad', text: config.why.text };
  const { metricsPort, ingressFile, rulesFile } = config.value.tunnel;
  const endpoint = createTunnelEndpoint({ port: metricsPort });
  const [signed, declared, connections, running] = await Promise.all([
    createSignedRules(rulesFile)(),
    createDeclaredIngress(ingressFile)(),
    endpoint.connections(signal),
    endpoint.ingress(signal),
  ]);
  const lines = [
    'signed by operators',
    ...(signed === undefined ? ['  nothing'] : signed.ingress.map((rule) => `  ${ruleText(rule)}`)),
    `declared in ${ingressFile}`,
    ...(declared.is !== 'done'
      ? [`  ${declared.why.text}`]
      : declared.value === undefined
        ? ['  nothing: this host has no tunnel']
        : declared.value.map(ruleWords)),
    'in force now',
    ...(running.is === 'done'
      ? [
          ...running.value.rules.map(ruleWords),
          ...(running.value.privateNetworks ? ['  whole networks (WARP routing)'] : []),
        ]
      : [`  ${running.why.text}`]),
    connections.is === 'done' ? `connections to the edge: ${connections.value}` : 'connections to the edge: not told',
  ];
  return { is: 'shown', text: `${lines.map((line) => printable(line)).join('\n')}\n` };
}

const ruleWords = ({ hostname, path, service }: IngressRule): string =>
  `  ${hostname === '' ? '*' : hostname}${path} → ${service}`;
