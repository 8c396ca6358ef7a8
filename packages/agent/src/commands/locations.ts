/** Where things are when nobody says otherwise. */
export const defaultConfigFile = '/etc/felhom/agent.yaml';
export const defaultAdminSocket = '/run/felhom/agent.sock';
