// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.CliTests.Checks;

/// <summary>A docker that answers the doctor, as text of the shell. By default nothing is wrong.</summary>
sealed record FakeEngine
{
    /// <summary>What stands before the words of the plugin in docker's error.</summary>
    public const string Denied = "Error response from daemon: authorization denied by plugin runai/gpu-memory:latest: ";

    public string Client { get; init; } = "28.5.2";

    /// <summary>Null: docker reaches none.</summary>
    public string? Server { get; init; } = "28.5.2+dfsg1";

    public string Runtime { get; init; } = "runc";

    /// <summary>In JSON.</summary>
    public string Authorization { get; init; } = """["runai/gpu-memory"]""";

    /// <summary>Of the docker CLI, in JSON.</summary>
    public string CliPlugins { get; init; } = "[]";

    /// <summary>A line each.</summary>
    public string Plugins { get; init; } =
        """
            {"Description":"A log driver","Enabled":true,"ID":"1","Name":"acme/log:1"}
            {"Description":"GPU memory as a Docker resource, version 1","Enabled":true,"ID":"2","Name":"runai/gpu-memory:latest"}
            """;

    /// <summary>To a question about the policy.</summary>
    public string Question { get; init; } = Denied + "no policy file: quotas are enforced";

    /// <summary>To the probe.</summary>
    public string Probe { get; init; } =
        Denied + "runai-status is read, not made, mounted or removed: docker volume inspect runai-status";

    /// <summary>What docker buildx inspect prints.</summary>
    public string Builder { get; init; } =
        """
            Name:   default
            Driver: docker

            Nodes:
            Name:             default
            Endpoint:         default
            Status:           running
            """;

    /// <summary>To the build of an empty image; empty: it is built.</summary>
    public string Build { get; init; } = "";

    /// <summary>The version of the status.</summary>
    public int Contract { get; init; } = 1;

    public string Plugin { get; init; } = ProgramVersion.Text;

    public string Enforced { get; init; } = "true";

    public bool RequiresQuota { get; init; }

    /// <summary>In JSON; null: the sums only.</summary>
    public string? Problems { get; init; } = "[]";

    /// <summary>To the reading of runai-status; empty: the status.</summary>
    public string StatusError { get; init; } = "";

    string Status =>
        $$"""[{"Name":"runai-status","Status":{"Version":{{Contract}},"Plugin":"{{Plugin}}","Shim":"1-ab","Enforced":{{Enforced}},"""
        + $"\"Policy\":{{\"State\":\"loaded\",\"RequireQuota\":{(RequiresQuota ? "true" : "false")}}}"
        + (Problems is null ? "" : $",\"Containers\":[],\"Checks\":[\"nvml\",\"chain\"],\"Problems\":{Problems}")
        + "}}]";

    string Versions =>
        $$"""{"Client":{"Version":"{{Client}}"},"Server":{{(
            Server is null ? "null" : $$"""{"Version":"{{Server}}"}"""
        )}}}""";

    string Info =>
        $$"""{"Plugins":{"Volume":["local"],"Authorization":{{Authorization}}},"DefaultRuntime":"{{Runtime}}","""
        + $"\"ClientInfo\":{{\"Plugins\":{CliPlugins}}}}}";

    /// <summary>Its calls are noted in files beside it.</summary>
    public string Script =>
        $$"""
            say() { cat; exit 0; }
            fail() { cat >&2; exit 1; }
            printf '%.60s\n' "$*" >>"$0.calls"
            for word; do printf '%s\n' "${#word}" >>"$0.lengths"; done
            case "$1 $2" in
            "version --format") {{(Server is null ? "echo 'no daemon' >&2; cat; exit 1" : "say")}} <<'END'
            {{Versions}}
            END
            ;;
            "info --format") say <<'END'
            {{Info}}
            END
            ;;
            "plugin ls") say <<'END'
            {{Plugins}}
            END
            ;;
            "volume inspect")
                [ "$3" != runai-status ] || {{(StatusError is "" ? "say" : "fail")}} <<'END'
            {{(StatusError is "" ? Status : StatusError)}}
            END
                say <<'END'
            {{Status}}
            END
            ;;
            "volume create") fail <<'END'
            {{Probe}}
            END
            ;;
            "buildx inspect") {{(Builder.StartsWith("Name", StringComparison.Ordinal) ? "say" : "fail")}} <<'END'
            {{Builder}}
            END
            ;;
            "buildx build") {{(Build is "" ? "say" : "fail")}} <<'END'
            {{Build}}
            END
            ;;
            "wait runai-policy-question") fail <<'END'
            {{Question}}
            END
            esac
            echo "unknown: $1 $2" >&2
            exit 9
            """;
}
