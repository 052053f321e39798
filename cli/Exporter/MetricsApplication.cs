// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>Answers GET /metrics.</summary>
/// <param name="reading">What the metrics come from.</param>
/// <param name="names">By which names it may be called.</param>
sealed class MetricsApplication(SharedReading reading, CallerNames names) : IHttpApplication<HttpContext>
{
    /// <summary>A little longer than a reading takes, and shorter than Prometheus waits (10 s).</summary>
    static readonly TimeSpan Timeout = TimeSpan.FromSeconds(9);

    const string MetricsType = "text/plain; version=0.0.4; charset=utf-8";

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception) { }

    public Task ProcessRequestAsync(HttpContext context)
    {
        if (!names.Have(context.Request.Host.Host))
            return Answer(
                context,
                StatusCodes.Status421MisdirectedRequest,
                "this exporter listens on loopback: call it by localhost or its address\n"
            );
        var method = context.Request.Method;
        if (!HttpMethods.IsGet(method) && !HttpMethods.IsHead(method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return Answer(context, StatusCodes.Status405MethodNotAllowed, "type GET /metrics\n");
        }

        return context.Request.Path.Value switch
        {
            "/metrics" => AnswerMetrics(context),
            "/" => Answer(context, StatusCodes.Status200OK, "GPU memory of Docker containers: /metrics\n"),
            _ => Answer(context, StatusCodes.Status404NotFound, "the metrics are at /metrics\n"),
        };
    }

    async Task AnswerMetrics(HttpContext context)
    {
        byte[] text;
        try
        {
            text = await reading.Read().WaitAsync(Timeout, context.RequestAborted);
        }
        catch (TimeoutException)
        {
            text = MetricsText.Of(null);
        }

        await Answer(context, StatusCodes.Status200OK, text, MetricsType);
    }

    static Task Answer(HttpContext context, int status, string text) =>
        Answer(context, status, Encoding.UTF8.GetBytes(text), "text/plain; charset=utf-8");

    static Task Answer(HttpContext context, int status, byte[] text, string type)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        context.Response.ContentLength = text.Length;
        return context.Response.Body.WriteAsync(text, 0, text.Length, context.RequestAborted);
    }
}
