/** What root's verbs about the tunnel stand on. Nobody who asks may choose any of it. */
import type { HostCommand } from '../../ports/host-command.ts';
import type { Systemctl } from '../../ports/systemctl.ts';
import type { RuleFacts } from './judge-rules.ts';

export interface TunnelPlaces {
  /** The declaration in force, which the others are made from: `/etc/felhom/tunnel-rules.json`. */
  readonly rules: string;
  readonly config: string;
  readonly guests: string;
  readonly dropIn: string;
  /** What was there before, while a change is under way; root's alone. */
  readonly pending: string;
  /** Where the new configuration lies while cloudflared looks at it; root's alone. */
  readonly draft: string;
}

export interface TunnelWorld {
  readonly places: TunnelPlaces;
  readonly systemctl: Systemctl;
  readonly nft: HostCommand;
  /** `undefined`: it is not installed. */
  readonly cloudflared: () => HostCommand | undefined;
  readonly facts: () => (RuleFacts & { readonly nameServers: readonly string[] }) | { readonly bad: string };
  /** Milliseconds. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}
