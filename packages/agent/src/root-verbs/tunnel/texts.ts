/**
 * The three files that the tunnel stands on, made from one declaration, so that what cloudflared is told and what both
 * fences let through cannot differ. Pure; everything in them was held to a pattern by the schema of the declaration.
 */
import { guestsOfTunnel, reachOfTunnel } from '@felhom/protocol';
import type { TunnelDeclaration } from '@felhom/protocol';

export interface TunnelTexts {
  /** What cloudflared is started with. */
  readonly config: string;
  /** What `tunnel.nft` includes: the fence by port. */
  readonly guests: string;
  /** Drop-in of the unit: the fence by address. */
  readonly dropIn: string;
}

const made = '# Made from /etc/felhom/tunnel-rules.json; a signed tunnel-change writes both anew.';

/** `nameServers`: of the host, which the tunnel asks too. */
export function tunnelTexts(declaration: TunnelDeclaration, nameServers: readonly string[]): TunnelTexts {
  const guests = guestsOfTunnel(declaration);
  const reach = reachOfTunnel(declaration).map((one) => one.replace(':', ' . '));
  const lines = declaration.ingress.map(({ hostname, path, service }) => {
    const fields = {
      ...(hostname === undefined ? {} : { hostname }),
      // cloudflared reads a regular expression that may fit anywhere.
      ...(path === undefined ? {} : { path: `^${path}` }),
      service,
    };
    // A flow mapping of JSON strings is YAML.
    return `  - ${JSON.stringify(fields)}`;
  });
  return {
    config: [made, `tunnel: ${declaration.tunnel}`, 'ingress:', ...lines, ''].join('\n'),
    guests: `${made}\ndefine guests = { ${reach.join(', ')} }\n`,
    dropIn: [made, '[Service]', ...[...nameServers, ...guests].map((address) => `IPAddressAllow=${address}`), ''].join(
      '\n',
    ),
  };
}

/** resolv.conf(5); at most three are used. Those of this host itself the unit may ask on loopback. */
export function nameServersIn(text: string): readonly string[] {
  const found = text.split('\n').flatMap((line) => /^nameserver\s+([0-9a-fA-F.:]{2,45})\s*$/.exec(line)?.[1] ?? []);
  return found.slice(0, 3).filter((address) => !address.startsWith('127.') && address !== '::1');
}
