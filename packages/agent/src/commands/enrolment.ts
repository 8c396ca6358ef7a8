/** The commands that give the agent's user exactly its rights on a node, printed for root to read before running them. */
import { loadFile } from '../adapters/config-file/index.ts';
import type { Loaded } from '../adapters/config-file/index.ts';
import { agentConfig } from '../config.ts';
import { hostPolicy } from '../host-policy.ts';
import { aclOf, enrolmentCommands } from '../node-check/index.ts';

export function enrolmentText(configFile: string, user: string): Loaded<string> {
  const config = loadFile(configFile, agentConfig);
  if (config.is === 'bad') return config;
  const policy = loadFile(config.value.policyFile, hostPolicy);
  if (policy.is === 'bad') return policy;
  const { goldens, vmids } = policy.value;
  const archives = Object.values(goldens).map((golden) => golden.archive);
  const owners = archives.flatMap((archive) => Number(/vzdump-lxc-(\d+)-/.exec(archive)?.[1] ?? Number.NaN) || []);
  const declared = [vmids.guests, vmids.scratch].flatMap(({ from, to }) =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at),
  );
  const token = `${user}!agent`;
  const lines = [
    // Root's program clears what that token's workers left, and nothing of another one.
    ...(policy.value.token === token ? [] : [`# write into ${config.value.policyFile}: token: ${token}`]),
    `pveum user add ${user}`,
    `pveum user token add ${user} agent --privsep 0   # shows the secret once: USER@REALM!agent=SECRET into the token file`,
    ...enrolmentCommands(aclOf(policy.value), user, [...new Set([...declared, ...owners])]),
  ];
  return { is: 'loaded', value: `${lines.join('\n')}\n` };
}
