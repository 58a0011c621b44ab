/** A network on which whoever dials this machine is seen as coming from somewhere else. */
import { type Environment, systemEnvironment } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";

/** The environment of a server to which everybody comes from `host`, as it is at that moment. */
export function fromAfar(
  host: () => string,
  environment: Environment = systemEnvironment,
): Environment {
  const { network } = environment;
  return {
    ...environment,
    network: {
      ...network,
      listen: (hosts, port) => {
        const listener = network.listen(hosts, port);
        return {
          port: listener.port,
          endpoints: listener.endpoints,
          acceptAll: (take, onTrouble) =>
            listener.acceptAll((transport) => take(seenAt(host(), transport)), onTrouble),
          close: () => listener.close(),
        };
      },
    },
  };
}

function seenAt(host: string, transport: TcpTransport): TcpTransport {
  return {
    remote: { host, port: transport.remote.port },
    local: transport.local,
    read: (buffer) => transport.read(buffer),
    write: (data) => transport.write(data),
    closeWrite: () => transport.closeWrite(),
    close: () => transport.close(),
  };
}
